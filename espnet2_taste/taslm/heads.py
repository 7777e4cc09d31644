"""Speech heads: from the LM's hidden states to TASTE codes (paper sec. 2.2).

Here what they have in common and the one that classifies; those that model latents are
in :mod:`~espnet2_taste.taslm.gaussian_heads`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from espnet2_taste.taslm.sampler import draw, top_p_filter
from espnet2_taste.taste.tokenizer.abs_quantizer import AbsQuantizer


@dataclass
class SpeechHeadOutput:
    """What a head says about positions.

    Attributes:
        losses: (...) loss of each position, 0 where nothing is labelled.
        labels: (..., R) int64 as given, -1 for none.
        codes: (..., R) int64 most likely codes at every position.
    """

    losses: torch.Tensor
    labels: torch.Tensor
    codes: torch.Tensor

    @property
    def loss(self) -> torch.Tensor:
        """Scalar, mean over the labelled positions."""
        return self.losses.sum() / (self.labels[..., 0] >= 0).sum().clamp(min=1)


class AbsSpeechHead(torch.nn.Module, ABC):
    """Predicts the codes of one segment.

    Args:
        size: width of the LM's hidden states.
        quantizer: tells the sizes; the frozen one itself is given at each call.

    Attributes:
        continuous: sampled latents are other than those of the codes.
    """

    continuous = False

    def __init__(self, size: int, quantizer: AbsQuantizer):
        super().__init__()
        self.size = size
        self.num_codebooks = quantizer.num_codebooks
        self.codebook_size = quantizer.codebook_size
        self.codebook_dim = quantizer.codebook_dim

    @property
    @abstractmethod
    def num_draws(self) -> int:
        """Uniform random numbers :meth:`sample` takes per segment."""

    @abstractmethod
    def forward(
        self, hidden: torch.Tensor, labels: torch.Tensor, quantizer: AbsQuantizer
    ) -> SpeechHeadOutput:
        """(..., size) hidden states, (..., R) labels, all -1 for none."""

    @abstractmethod
    def log_probs(
        self, hidden: torch.Tensor, codes: torch.Tensor, quantizer: AbsQuantizer
    ) -> torch.Tensor:
        """(M, size), (M, R) codes -> (M, R) float32 log-probability of each code,
        given the codes of the books before it."""

    def latent_log_density(
        self, hidden: torch.Tensor, codes: torch.Tensor, quantizer: AbsQuantizer
    ) -> torch.Tensor:
        """(M, size), (M, R) codes -> (M,) float32 log-density of the codes' latents;
        NaN where the head has none."""
        return torch.full((len(hidden),), torch.nan, device=hidden.device)

    @abstractmethod
    def sample(
        self,
        hidden: torch.Tensor,
        quantizer: AbsQuantizer,
        uniforms: torch.Tensor,
        top_p: float = 0.0,
        temperature: float = 1.0,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, size) -> (B, R) codes; ``top_p`` 0 is the most likely.

        ``uniforms`` (B, num_draws) in [0, 1) decide a random choice.

        Returns:
            the codes, and (B, codebook_dim) float32 latents to be read and said: those
            of the codes, or what the codes are the nearest to (``continuous``).
        """


class TokenHead(AbsSpeechHead):
    """One classifier per codebook, all from the same hidden state.

    Args:
        size: see :class:`AbsSpeechHead`.
        quantizer: see :class:`AbsSpeechHead`.
        multi_linear: add the MSE between the expected and the true latent.
    """

    def __init__(self, size: int, quantizer: AbsQuantizer, multi_linear: bool = False):
        super().__init__(size, quantizer)
        self.linear = torch.nn.Linear(size, self.num_codebooks * self.codebook_size)
        self.multi_linear = multi_linear

    @property
    def num_draws(self) -> int:
        return self.num_codebooks

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., size) -> (..., R, K)."""
        logits = self.linear(hidden.to(self.linear.weight.dtype))
        return logits.unflatten(-1, (self.num_codebooks, self.codebook_size))

    def forward(
        self, hidden: torch.Tensor, labels: torch.Tensor, quantizer: AbsQuantizer
    ) -> SpeechHeadOutput:
        logits = self.logits(hidden)
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, -2), labels.flatten(), ignore_index=-1, reduction="none"
        )
        losses = losses.view_as(labels).mean(-1)
        if self.multi_linear:
            entries = codebook_entries(quantizer, logits.device)
            expected = torch.einsum("...rk,rkd->...d", logits.softmax(-1), entries)
            error = (expected - quantizer.codes_to_latent(labels)) ** 2
            error = error.mean(-1) * (labels[..., 0] >= 0)
            losses = (error + losses) / 2
        return SpeechHeadOutput(losses, labels, logits.argmax(-1))

    def log_probs(
        self, hidden: torch.Tensor, codes: torch.Tensor, quantizer: AbsQuantizer
    ) -> torch.Tensor:
        logits = self.logits(hidden).float().log_softmax(-1)
        return logits.gather(-1, codes[..., None]).squeeze(-1)

    def sample(
        self,
        hidden: torch.Tensor,
        quantizer: AbsQuantizer,
        uniforms: torch.Tensor,
        top_p: float = 0.0,
        temperature: float = 1.0,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.logits(hidden).float()
        if top_p == 0:
            codes = logits.argmax(-1)
        else:
            codes = draw(top_p_filter(logits, top_p) / temperature, uniforms)
        return codes, quantizer.codes_to_latent(codes)


@torch.no_grad()
def codebook_entries(
    quantizer: AbsQuantizer, device: torch.device | str
) -> torch.Tensor:
    """(R, K, codebook_dim): each entry alone, the other codebooks silent."""
    books, entries = quantizer.num_codebooks, quantizer.codebook_size
    codes = torch.full((books, entries, books), -1, device=device)
    index = torch.arange(books, device=device)
    codes[index, :, index] = torch.arange(entries, device=device)
    return quantizer.codes_to_latent(codes)
