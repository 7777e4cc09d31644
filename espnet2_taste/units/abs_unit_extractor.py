"""What every unit extractor offers: discrete speech units from audio."""

from abc import abstractmethod

import torch

from espnet2_taste.io.lazy_choices import AbsPart
from espnet2_taste.units.unit_spec import UnitSpec


class AbsUnitExtractor(AbsPart):
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

    @abstractmethod
    def __call__(self, wavs: list[torch.Tensor]) -> list[torch.Tensor]:
        """Extract.

        Args:
            wavs: 1-D float waveforms at ``sample_rate``, any lengths.

        Returns:
            1-D int64 tensors of unit ids, in the order given.
        """
