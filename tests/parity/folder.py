"""A folder of parity fixtures: weights, inputs and expected tensors of one model."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import torch
from on_device import DEVICE
from parity.compare import Result
from parity.draw import draw
from safetensors import safe_open


class ParityFolder:
    """Files as ../shared/parity has them; every size is read from them.

    A folder whose index.json has a ``seed`` may leave tensors out of its files: those
    that index.json lists are drawn then (see :func:`parity.draw.draw`).

    Args:
        folder: where the fixtures lie; may be absent.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._read: set[tuple[str, str]] = set()
        self._computed: dict[str, tuple[dict, set]] = {}

    def __bool__(self) -> bool:
        return self.path("config.json").is_file()

    def path(self, name: str) -> Path:
        """A file of the folder."""
        return self.folder / name

    def json(self, name: str) -> dict:
        """A JSON file of the folder."""
        return json.loads(self.path(name).read_text(encoding="utf-8"))

    @cached_property
    def config(self) -> dict:
        """config.json, the model's configuration as the reference writes it."""
        return self.json("config.json")

    @cached_property
    def index(self) -> dict:
        """index.json: notes and metadata of every file."""
        return self.json("index.json")

    def case(self, file: str) -> dict:
        """What index.json says about a file; {} if nothing."""
        return self.index["cases"].get(file, {})

    def shapes(self, file: str) -> dict[str, tuple[int, ...]]:
        """Name and shape of each tensor of ``<file>.safetensors``, stored or drawn."""
        found, path = {}, self.path(f"{file}.safetensors")
        if path.is_file():
            with safe_open(path, "pt") as f:
                for name in f.keys():  # noqa: SIM118 - not a mapping
                    found[name] = tuple(f.get_slice(name).get_shape())
        if "seed" in self.index:
            listed = self.case(file).get("tensors", {})
            found |= {k: tuple(v[0]) for k, v in listed.items() if k not in found}
        return dict(sorted(found.items()))

    def match(self, file: str, pattern: str) -> list[re.Match]:
        """Matches of a regular expression with the whole names of a file's tensors."""
        found = (re.fullmatch(pattern, name) for name in self.shapes(file))
        return [match for match in found if match]

    def load(self, file: str) -> "Tensors":
        """Tensors of ``<file>.safetensors``; float16 becomes float32."""
        return Tensors(self, file)

    @cached_property
    def model(self) -> dict[str, torch.Tensor]:
        """The model's state dict, float32, under the reference's names."""
        return dict(self.load("model"))

    def weights(self, prefix: str) -> dict[str, torch.Tensor]:
        """Part of the model's state dict, ``prefix`` removed."""
        return {
            k.removeprefix(prefix): v.clone()
            for k, v in self.model.items()
            if k.startswith(prefix)
        }

    def computed(
        self, file: str, compute: Callable[["ParityFolder"], Mapping]
    ) -> dict[str, Result]:
        """What our code computes for a file, once."""
        if file not in self._computed:
            self._read, before = set(), self._read
            with torch.enable_grad():
                results = {k: Result.of(v) for k, v in compute(self).items()}
            self._computed[file] = results, self._read
            self._read = before | self._read
        return self._computed[file][0]

    def reads(
        self, file: str, compute: Callable[["ParityFolder"], Mapping]
    ) -> set[tuple[str, str]]:
        """(file, name) of each tensor read to compute a file's results."""
        self.computed(file, compute)
        return self._computed[file][1]


class Tensors(Mapping):
    """Tensors of a file by name, on DEVICE; the folder remembers which were read."""

    def __init__(self, folder: ParityFolder, file: str):
        self._folder, self._file = folder, file
        self._shapes = folder.shapes(file)

    def __getitem__(self, name: str) -> torch.Tensor:
        shape = self._shapes[name]
        self._folder._read.add((self._file, name))
        path = self._folder.path(f"{self._file}.safetensors")
        if path.is_file():
            with safe_open(path, "pt", device=DEVICE) as f:
                if name in f.keys():  # noqa: SIM118 - not a mapping
                    tensor = f.get_tensor(name)
                    return tensor.float() if tensor.is_floating_point() else tensor
        return draw(name, shape, self._folder.index["seed"]).to(DEVICE)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)
