"""What every unit vocoder offers: waveforms from speech units."""

from abc import abstractmethod

import torch

from espnet2_taste.io.lazy_choices import AbsPart
from espnet2_taste.units.unit_spec import UnitSpec


class AbsVocoder(AbsPart):
    """Units + speaker embedding -> waveform.

    Attributes:
        sample_rate: Hz of the waveforms it makes.
        unit_spec: of the units it takes.
        spk_embed_dim: width of the speaker embeddings it takes; None: it looks at none.
    """

    sample_rate: int
    unit_spec: UnitSpec
    spk_embed_dim: int | None = None

    @abstractmethod
    def __call__(
        self, units: list[torch.Tensor], spk_emb: torch.Tensor
    ) -> list[torch.Tensor]:
        """Synthesise.

        Args:
            units: 1-D int64 unit ids of each utterance (may be empty).
            spk_emb: (B, S) float speaker embeddings.

        Returns:
            1-D float32 waveforms in [-1, 1] at ``sample_rate``.
        """
