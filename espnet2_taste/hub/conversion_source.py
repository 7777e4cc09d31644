"""Published checkpoints on disk, whose tensors are mapped and not read."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch

from espnet2_taste.io.checkpoint import load_state

SAFETENSORS, BIN = "model.safetensors", "pytorch_model.bin"
INDEX = ".index.json"


def map_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file by name; reading one reads it from the disk.

    Args:
        path: ``*.safetensors``, or ``*.bin``, ``*.pt``, ``*.pth`` of plain tensors.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged file, or one that is something else.
    """
    if path.suffix != ".safetensors":
        try:
            state = load_state(path)
        except RuntimeError as error:
            raise ValueError(str(error)) from None
        # Training bookkeeping (epoch, step) is not part of the model.
        return {k: v for k, v in state.items() if torch.is_tensor(v)}
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is no complete safetensors file ({error})") from None


class Checkpoint:
    """A state dict in one file, or in the shards of a Hugging Face folder.

    Args:
        path: file, or folder with ``model.safetensors`` or ``pytorch_model.bin``, or
            their shards and ``*.index.json``.

    Attributes:
        path: as given.
        tensors: all tensors by name.

    Raises:
        FileNotFoundError: nothing there, or a shard is missing.
        ValueError: a damaged file, or shards that do not hold what the index says;
            the message names the file.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.tensors: dict[str, torch.Tensor] = {}
        for file, expected in self._files():
            found = map_tensors(file)
            absent = sorted(set(expected or ()) - found.keys())
            if absent:
                raise ValueError(
                    f"{file} lacks {absent[0]} ({len(absent)} of its tensors)"
                )
            self.tensors |= {name: found[name] for name in expected or found}

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
