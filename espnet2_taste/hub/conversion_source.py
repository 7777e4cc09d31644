"""Published checkpoints on disk, read tensor by tensor."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from espnet2_taste.io.checkpoint import load_state

SAFETENSORS, BIN = "model.safetensors", "pytorch_model.bin"
INDEX = ".index.json"
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class TensorInfo:
    """What a file says about a tensor before it is read.

    Attributes:
        shape: its sizes.
        dtype: as stored.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype


class TensorFile:
    """One safetensors or torch file. Tensors are mapped, not read.

    Args:
        path: ``*.safetensors``, or ``*.bin``, ``*.pt``, ``*.pth`` of plain tensors.

    Attributes:
        info: name -> :class:`TensorInfo`.
    """

    def __init__(self, path: Path):
        self.path = path
        if path.suffix != ".safetensors":
            try:
                state = load_state(path)
            except RuntimeError as error:
                raise ValueError(str(error)) from None
            # Training bookkeeping (epoch, step) is not part of the model.
            self._state = {k: v for k, v in state.items() if torch.is_tensor(v)}
            self.info = {
                k: TensorInfo(tuple(v.shape), v.dtype) for k, v in self._state.items()
            }
            return
        if not path.is_file():
            raise FileNotFoundError(f"no checkpoint at {path}")
        from safetensors import SafetensorError, safe_open

        try:
            self._state = None
            self._file = safe_open(path, framework="pt")
            slices = {k: self._file.get_slice(k) for k in self._file.keys()}  # noqa: SIM118
            self.info = {
                k: TensorInfo(tuple(s.get_shape()), _DTYPES[s.get_dtype()])
                for k, s in slices.items()
            }
        except (SafetensorError, KeyError) as error:
            raise ValueError(
                f"{path} is no complete safetensors file ({error})"
            ) from None

    def read(self, name: str) -> torch.Tensor:
        """The tensor called ``name``."""
        return self._file.get_tensor(name) if self._state is None else self._state[name]


class Checkpoint:
    """A state dict in one file, or in the shards of a Hugging Face folder.

    Args:
        path: file, or folder with ``model.safetensors`` or ``pytorch_model.bin``, or
            their shards and ``*.index.json``.

    Attributes:
        path: as given.
        info: name -> :class:`TensorInfo` of all files.

    Raises:
        FileNotFoundError: nothing there, or a shard is missing.
        ValueError: a damaged file, or shards that do not hold what the index says;
            the message names the file.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._file_of: dict[str, TensorFile] = {}
        for file, expected in self._files():
            tensors = TensorFile(file)
            absent = sorted(set(expected or ()) - tensors.info.keys())
            if absent:
                raise ValueError(
                    f"{file} lacks {absent[0]} ({len(absent)} of its tensors)"
                )
            self._file_of |= dict.fromkeys(expected or tensors.info, tensors)
        self.info = {k: f.info[k] for k, f in self._file_of.items()}

    def _files(self) -> Iterator[tuple[Path, list[str] | None]]:
        """Files and, by their index, the names in each."""
        if not self.path.is_dir():
            yield self.path, None
            return
        for name in (SAFETENSORS, BIN):
            if (self.path / name).is_file():
                yield self.path / name, None
                return
            index = self.path / f"{name}{INDEX}"
            if index.is_file():
                shards: dict[str, list[str]] = {}
                for key, shard in read_json(index)["weight_map"].items():
                    shards.setdefault(shard, []).append(key)
                for shard in sorted(shards):
                    yield self.path / shard, shards[shard]
                return
        raise FileNotFoundError(
            f"{self.path} holds no weights ({SAFETENSORS} or {BIN}, or their "
            "*.index.json)"
        )

    def read(self, name: str) -> torch.Tensor:
        """The tensor called ``name``, as stored."""
        return self._file_of[name].read(name)


def holds_weights(folder: Path) -> bool:
    """Whether :class:`Checkpoint` finds something in a folder."""
    names = (SAFETENSORS, BIN)
    return any((folder / f"{n}{end}").is_file() for n in names for end in ("", INDEX))


def read_json(path: Path) -> dict:
    """A JSON object.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a JSON object.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a JSON object")
    return content
