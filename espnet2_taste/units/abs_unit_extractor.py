"""What every unit extractor offers: discrete speech units from audio."""

from abc import ABC, abstractmethod
from pathlib import Path

import torch

from espnet2_taste.units.unit_spec import UnitSpec


class AbsUnitExtractor(ABC):
    """Speech -> discrete units at a fixed rate.

    Attributes:
        num_units: size of the unit vocabulary (no special symbols).
        unit_rate: units per second.
        sample_rate: Hz of the audio it takes.
    """

    num_units: int
    unit_rate: float
    sample_rate: int

    @property
    def spec(self) -> UnitSpec:
        """What its units are, for those who take them."""
        return UnitSpec(self.num_units, self.unit_rate, self.sample_rate)

    @classmethod
    @abstractmethod
    def from_pretrained(cls, path: str, device: str = "cpu") -> "AbsUnitExtractor":
        """Load from a folder or file made by training (or published weights)."""

    @classmethod
    @abstractmethod
    def pack(cls, path: str, folder: Path) -> None:
        """Write what ``from_pretrained(folder)`` opens like ``path``, and no more.

        It may take those options of ``from_pretrained`` that change what is packed.
        """

    @abstractmethod
    def __call__(self, wavs: list[torch.Tensor]) -> list[torch.Tensor]:
        """Extract.

        Args:
            wavs: 1-D float waveforms at ``sample_rate``, any lengths.

        Returns:
            1-D int64 tensors of unit ids, in the order given.
        """
