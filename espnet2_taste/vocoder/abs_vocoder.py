"""What every unit vocoder offers: waveforms from speech units."""

from abc import abstractmethod

import torch

from espnet2_taste.io.lazy_choices import AbsPart
from espnet2_taste.io.values import check_numbers
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

    def check(self, units: list[torch.Tensor], spk_emb: torch.Tensor) -> None:
        """Refuse what belongs to another vocoder, or is no speech at all.

        Raises:
            ValueError: speaker embeddings of another shape or with values that are no
                numbers, units that are no integers or outside the vocabulary.
        """
        wanted = (len(units), self.spk_embed_dim)
        if self.spk_embed_dim is not None:
            if tuple(spk_emb.shape) != wanted:
                raise ValueError(
                    f"speaker embeddings are {tuple(spk_emb.shape)}, the vocoder takes "
                    f"{wanted}: use the speaker encoder it was trained with"
                )
            for row, embedding in enumerate(spk_emb):
                check_numbers(f"the speaker embedding of utterance {row}", embedding)
        for item in units:
            if item.ndim != 1 or item.is_floating_point():
                raise ValueError(
                    f"units must be (U,) integers, not {tuple(item.shape)} {item.dtype}"
                )
            count = self.unit_spec.num_units
            if len(item) and (item.min() < 0 or item.max() >= count):
                raise ValueError(
                    f"units must lie in [0, {count}), these span "
                    f"[{item.min()}, {item.max()}]"
                )

    @abstractmethod
    def __call__(
        self, units: list[torch.Tensor], spk_emb: torch.Tensor
    ) -> list[torch.Tensor]:
        """Synthesise, after :meth:`check`.

        Args:
            units: 1-D int64 unit ids of each utterance (may be empty).
            spk_emb: (B, S) float speaker embeddings.

        Returns:
            1-D float32 waveforms in [-1, 1] at ``sample_rate``.
        """
