"""A folder of fixtures of TASTE's successors."""

from functools import cached_property

import torch
from parity.folder import ParityFolder


class Parity2Folder(ParityFolder):
    """Files as ../shared/parity2 has them; sizes are read from config.json."""

    def __bool__(self) -> bool:
        return super().__bool__() and not self.is_first()

    def is_first(self) -> bool:
        """Whether the folder is one of tests/parity: its index has other keys."""
        return self.path("index.json").is_file() and "cases" in self.index

    @property
    def values(self) -> dict:
        """Scalars, draws and sequences, by topic."""
        return self.index["values"]

    @cached_property
    def inputs(self):
        """Shared inputs."""
        return self.load("inputs")

    def weights_of(self, file: str) -> dict[str, torch.Tensor]:
        """A state dict, under the published names; tied tensors are there twice."""
        state = dict(self.load(file))
        for name, other in self.values.get("tied", {}).items():
            owner, _, key = name.partition(":")
            if owner == file:
                state[key] = state[other]
        return state
