"""Speech heads: from the LM's hidden states to TASTE codes (paper sec. 2.2)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from espnet2_taste.taslm.sampler import draw, top_p_filter
from espnet2_taste.taste.quantizer.abs_quantizer import AbsQuantizer


@dataclass
class SpeechHeadOutput:
    """What a head says about labelled positions.

    Attributes:
        loss: scalar.
        codes: (B, L, R) int64 most likely codes at every position.
        parts: the terms of the loss, detached scalars or (R,) per codebook.
    """

    loss: torch.Tensor
    codes: torch.Tensor
    parts: dict[str, torch.Tensor]


class AbsSpeechHead(torch.nn.Module, ABC):
    """Predicts the codes of one word.

    Args:
        size: width of the LM's hidden states.
        quantizer: tells the sizes; the frozen one itself is given at each call.
    """

    def __init__(self, size: int, quantizer: AbsQuantizer):
        super().__init__()
        self.size = size
        self.num_codebooks = quantizer.num_codebooks
        self.codebook_size = quantizer.codebook_size
        self.codebook_dim = quantizer.codebook_dim

    @property
    @abstractmethod
    def num_draws(self) -> int:
        """Uniform random numbers :meth:`sample` takes per word."""

    @abstractmethod
    def forward(
        self, hidden: torch.Tensor, labels: torch.Tensor, quantizer: AbsQuantizer
    ) -> SpeechHeadOutput:
        """(B, L, size) hidden states, (B, L, R) labels with -1 for none."""

    @abstractmethod
    def sample(
        self,
        hidden: torch.Tensor,
        quantizer: AbsQuantizer,
        uniforms: torch.Tensor,
        top_p: float = 0.0,
        temperature: float = 1.0,
    ) -> torch.Tensor:
        """(B, size) -> (B, R) codes; ``top_p`` 0 is the most likely.

        ``uniforms`` (B, num_draws) in [0, 1) decide a random choice.
        """


class LatentHead(AbsSpeechHead):
    """A Gaussian over the quantiser's latent: mu = W h + b, one sigma for all words.

    Loss: 0.5 MSE(z, c) + 0.5 KL, with c the label's latent. Training values are
    z = mu + sigma * eps; as in the reference, their gradient is that of mu + sigma,
    and without training z = mu + sigma.
    """

    def __init__(self, size: int, quantizer: AbsQuantizer):
        super().__init__(size, quantizer)
        self.fc_mu = torch.nn.Linear(size, self.codebook_dim)
        self.logvar = torch.nn.Parameter(torch.zeros(self.codebook_dim))

    @property
    def num_draws(self) -> int:
        return self.codebook_dim

    def forward(
        self,
        hidden: torch.Tensor,
        labels: torch.Tensor,
        quantizer: AbsQuantizer,
        noise: torch.Tensor | None = None,
    ) -> SpeechHeadOutput:
        """See the base class; ``noise`` (B, L, codebook_dim) replaces a random eps."""
        mu = self.fc_mu(hidden.to(self.fc_mu.weight.dtype))
        sigma = (0.5 * self.logvar).exp()
        z = mu + sigma
        if self.training:
            noise = torch.randn_like(mu) if noise is None else noise
            z = z + (sigma * (noise - 1)).detach()
        target = quantizer.codes_to_latent(labels)
        mask = labels[..., :1] >= 0
        regression = _masked_mean((z - target) ** 2, mask)
        kl = (self.logvar.exp() + (mu - target) ** 2 - 1 - self.logvar) / 2
        kl = _masked_mean(kl, mask)
        loss = 0.5 * regression + 0.5 * kl
        parts = {"regression": regression.detach(), "kl": kl.detach()}
        return SpeechHeadOutput(loss, quantizer.latent_to_codes(z.detach()), parts)

    def sample(
        self,
        hidden: torch.Tensor,
        quantizer: AbsQuantizer,
        uniforms: torch.Tensor,
        top_p: float = 0.0,
        temperature: float = 1.0,
    ) -> torch.Tensor:
        """See the base class; any ``top_p`` > 0 samples the whole Gaussian."""
        mu = self.fc_mu(hidden.to(self.fc_mu.weight.dtype))
        sigma = (0.5 * self.logvar).exp()
        if top_p == 0:
            return quantizer.latent_to_codes(mu + sigma)
        tiny = torch.finfo(uniforms.dtype).eps
        eps = torch.special.ndtri(uniforms.clamp(tiny, 1 - tiny)).to(mu.dtype)
        return quantizer.latent_to_codes(mu + temperature * sigma * eps)


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
        ce = torch.nn.functional.cross_entropy(
            logits.flatten(0, 2), labels.flatten(), ignore_index=-1, reduction="none"
        ).view_as(labels)
        valid = labels >= 0
        ce = ce.sum((0, 1)) / valid.sum((0, 1)).clamp(min=1)
        loss, parts = ce.mean(), {"ce": ce.detach()}
        if self.multi_linear:
            expected = torch.einsum(
                "blrk,rkd->bld", logits.softmax(-1), self._codebooks(quantizer)
            )
            error = (expected - quantizer.codes_to_latent(labels)) ** 2
            parts["mse"] = _masked_mean(error, valid[..., :1])
            loss = (parts["mse"] + loss) / 2
            parts["mse"] = parts["mse"].detach()
        return SpeechHeadOutput(loss, logits.argmax(-1), parts)

    def sample(
        self,
        hidden: torch.Tensor,
        quantizer: AbsQuantizer,
        uniforms: torch.Tensor,
        top_p: float = 0.0,
        temperature: float = 1.0,
    ) -> torch.Tensor:
        logits = self.logits(hidden).float()
        if top_p == 0:
            return logits.argmax(-1)
        return draw(top_p_filter(logits, top_p) / temperature, uniforms)

    @torch.no_grad()
    def _codebooks(self, quantizer: AbsQuantizer) -> torch.Tensor:
        """(R, K, codebook_dim): each entry alone, the other codebooks silent."""
        books, entries = self.num_codebooks, self.codebook_size
        device = self.linear.weight.device
        codes = torch.full((books, entries, books), -1, device=device)
        index = torch.arange(books, device=device)
        codes[index, :, index] = torch.arange(entries, device=device)
        return quantizer.codes_to_latent(codes)


def _masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of (B, L, D) where (B, L, 1) is True; 0 if nowhere."""
    return (values * mask).sum() / (mask.sum() * values.size(-1)).clamp(min=1)
