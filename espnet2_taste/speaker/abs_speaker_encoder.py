"""What every speaker encoder offers: one embedding per utterance."""

from abc import abstractmethod

import torch

from espnet2_taste.io.audio import as_speech
from espnet2_taste.io.lazy_choices import AbsPart


class AbsSpeakerEncoder(AbsPart):
    """Speech -> speaker embedding.

    Attributes:
        embed_dim: width of the embedding.
        sample_rate: Hz of the audio it takes.
    """

    embed_dim: int
    sample_rate: int

    @abstractmethod
    def __call__(self, wavs: list[torch.Tensor]) -> torch.Tensor:
        """1-D float waveforms at ``sample_rate`` -> (B, embed_dim) float32, CPU."""


def at_least(wav: torch.Tensor, samples: int) -> torch.Tensor:
    """(N,) waveform, checked, repeated until it has ``samples``; none at all is
    silence."""
    wav = torch.from_numpy(as_speech(wav))
    wav = wav if len(wav) else wav.new_zeros(1)
    return wav.repeat(-(-samples // len(wav))) if len(wav) < samples else wav
