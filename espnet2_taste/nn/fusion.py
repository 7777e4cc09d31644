"""Fusion of text and audio vectors of the same position (speech decoder and TASLM)."""

from abc import ABC, abstractmethod

import torch


class AbsFusion(torch.nn.Module, ABC):
    """Joins the text vector and the audio vector of a position into one.

    Args:
        size: width of the text vectors and of the result.
        audio_size: width of the audio vectors.

    Attributes:
        projected_size: width of what :meth:`project` gives.
    """

    def __init__(self, size: int, audio_size: int):
        super().__init__()
        self.size = size
        self.audio_size = self.projected_size = audio_size

    def project(self, audio: torch.Tensor) -> torch.Tensor:
        """(..., audio_size) -> (..., projected_size), what the audio goes through
        before it meets the text; by default nothing."""
        return audio

    @abstractmethod
    def mix(self, text: torch.Tensor, projected: torch.Tensor) -> torch.Tensor:
        """(..., size) text and (..., projected_size) audio -> (..., size)."""

    def forward(self, text: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        """(..., size) text and (..., audio_size) audio -> (..., size)."""
        return self.mix(text, self.project(audio))


def without_audio(
    fused: torch.Tensor, text: torch.Tensor, share: float
) -> torch.Tensor:
    """``fused`` (B, ..., size) with the text alone in a random ``share`` of the items:
    what a model has to have seen for classifier-free guidance on the audio."""
    if not share:
        return fused
    drop = torch.rand(len(fused), device=fused.device) < share
    return torch.where(drop.view(-1, *[1] * (fused.dim() - 1)), text, fused)


class WeightedSumFusion(AbsFusion):
    """a_0 * P(audio) + a_1 * text with a = softmax(w) (paper eq. 6 and sec. 2.2).

    Args:
        size: see :class:`AbsFusion`.
        audio_size: see :class:`AbsFusion`; P is the identity when equal to ``size``
            and ``project`` is None.
        weights: initial w of (audio, text); [1, 1] balances, [-2, 2] starts the audio
            near zero (0.018), as the TASLM does; [-3, 3] (0.0025), as TASTE2's.
        project: force (True) or forbid (False) the linear map P.
    """

    def __init__(
        self,
        size: int,
        audio_size: int,
        weights: tuple[float, float] | list[float] = (1.0, 1.0),
        project: bool | None = None,
    ):
        super().__init__(size, audio_size)
        if project is False and size != audio_size:
            raise ValueError(f"fusion without projection: {audio_size} != {size}")
        project = size != audio_size if project is None else project
        self.audio_proj = (
            torch.nn.Linear(audio_size, size) if project else torch.nn.Identity()
        )
        self.projected_size = size
        self.weights = torch.nn.Parameter(torch.tensor(weights, dtype=torch.float32))

    def project(self, audio: torch.Tensor) -> torch.Tensor:
        return self.audio_proj(audio)

    def mix(self, text: torch.Tensor, projected: torch.Tensor) -> torch.Tensor:
        gate = self.weights.softmax(0).to(text.dtype)
        return gate[0] * projected + gate[1] * text


class ConcatFusion(AbsFusion):
    """Linear map of the concatenation [text, audio]."""

    def __init__(self, size: int, audio_size: int):
        super().__init__(size, audio_size)
        self.proj = torch.nn.Linear(size + audio_size, size)

    def mix(self, text: torch.Tensor, projected: torch.Tensor) -> torch.Tensor:
        return self.proj(torch.cat([text, projected], dim=-1))
