"""What every unit vocoder offers: waveforms from speech units."""

from abc import ABC, abstractmethod
from pathlib import Path

import torch

from espnet2_taste.units.unit_spec import UnitSpec


class AbsVocoder(ABC):
    """Units + speaker embedding -> waveform.

    Attributes:
        sample_rate: Hz of the waveforms it makes.
        unit_spec: of the units it takes.
        spk_embed_dim: width of the speaker embeddings it takes; None: it looks at none.
    """

    sample_rate: int
    unit_spec: UnitSpec
    spk_embed_dim: int | None = None

    @classmethod
    @abstractmethod
    def from_pretrained(cls, path: str, device: str = "cpu") -> "AbsVocoder":
        """Load from a folder or file made by training (or published weights)."""

    @classmethod
    @abstractmethod
    def pack(cls, path: str, folder: Path) -> None:
        """Write what ``from_pretrained(folder)`` opens like ``path``, and no more.

        It may take those options of ``from_pretrained`` that change what is packed.
        """

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
