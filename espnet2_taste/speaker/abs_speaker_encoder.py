"""What every speaker encoder offers: one embedding per utterance."""

from abc import ABC, abstractmethod
from pathlib import Path

import torch


class AbsSpeakerEncoder(ABC):
    """Speech -> speaker embedding.

    Attributes:
        embed_dim: width of the embedding.
        sample_rate: Hz of the audio it takes.
    """

    embed_dim: int
    sample_rate: int

    @classmethod
    @abstractmethod
    def from_pretrained(cls, path: str, device: str = "cpu") -> "AbsSpeakerEncoder":
        """Load from a folder or file made by training (or published weights)."""

    @classmethod
    @abstractmethod
    def pack(cls, path: str, folder: Path) -> None:
        """Write what ``from_pretrained(folder)`` opens like ``path``, and no more.

        It may take those options of ``from_pretrained`` that change what is packed.
        """

    @abstractmethod
    def __call__(self, wavs: list[torch.Tensor]) -> torch.Tensor:
        """1-D float waveforms at ``sample_rate`` -> (B, embed_dim) float32."""
