"""Speech heads that model the quantiser's latents: TASTE's (sec. 2.2) and TASTE2's."""

import torch

from espnet2_taste.taslm.heads import (
    AbsSpeechHead,
    SpeechHeadOutput,
    codebook_entries,
)
from espnet2_taste.taste.tokenizer.abs_quantizer import AbsQuantizer


class LatentHead(AbsSpeechHead):
    """A Gaussian over the quantiser's latent: mu = W h + b, one sigma for all
    segments (paper sec. 2.2; TASTE2's: :class:`GaussianHead`).

    Loss: 0.5 MSE(z, c) + 0.5 KL, with c the label's latent. Training values are
    z = mu + sigma * eps; as in the reference, their gradient is that of mu + sigma,
    and without training z = mu + sigma.
    """

    draw = True  # False: nothing is drawn, whatever is asked for

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
        """See the base class; ``noise`` (..., codebook_dim) replaces a random eps."""
        mu, logvar = self._gaussian(hidden)
        target = quantizer.codes_to_latent(labels)
        z, regression, kl = self._compare(mu, logvar, target, noise)
        losses = (0.5 * regression + 0.5 * kl).mean(-1) * (labels[..., 0] >= 0)
        return SpeechHeadOutput(losses, labels, quantizer.latent_to_codes(z.detach()))

    def _compare(self, mu, logvar, target, noise) -> tuple[torch.Tensor, ...]:
        """z, its squared distance to the target, and the divergence."""
        sigma = (0.5 * logvar).exp()
        z = mu + sigma
        if self.training:
            noise = torch.randn_like(mu) if noise is None else noise
            z = z + (sigma * (noise - 1)).detach()
        kl = (sigma**2 + (mu - target) ** 2 - 1 - logvar) / 2
        return z, (z - target) ** 2, kl

    def log_probs(
        self, hidden: torch.Tensor, codes: torch.Tensor, quantizer: AbsQuantizer
    ) -> torch.Tensor:
        """The Gaussian over the entries of a codebook alone: p(k_q | k_<q) is
        proportional to N(c_<q + e_qk; mu, sigma), later codebooks being silent."""
        mu, logvar = self._gaussian(hidden)
        precision = (-logvar).exp().expand_as(mu)
        found = []
        books = torch.arange(self.num_codebooks, device=hidden.device)
        for book, entries in enumerate(codebook_entries(quantizer, hidden.device)):
            earlier = codes.where(books < book, -1)
            rest = mu - quantizer.codes_to_latent(earlier)
            # the square of (rest - entry) / sigma without what all entries share
            scores = (rest * precision) @ entries.T - precision @ (entries**2).T / 2
            scores = scores.log_softmax(-1)
            found.append(scores.gather(-1, codes[:, book, None]))
        return torch.cat(found, -1)

    def latent_log_density(
        self, hidden: torch.Tensor, codes: torch.Tensor, quantizer: AbsQuantizer
    ) -> torch.Tensor:
        """See the base class: log N(c; mu, sigma) of the latents c."""
        mu, logvar = self._gaussian(hidden)
        normal = torch.distributions.Normal(mu, (0.5 * logvar).exp())
        return normal.log_prob(quantizer.codes_to_latent(codes)).sum(-1)

    def _gaussian(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """mu (..., codebook_dim) and log sigma^2, which broadcasts with it."""
        with torch.autocast(hidden.device.type, enabled=False):  # codes need float32
            mu = self.fc_mu(hidden.to(self.fc_mu.weight.dtype))
        return mu, self.logvar

    def sample(
        self,
        hidden: torch.Tensor,
        quantizer: AbsQuantizer,
        uniforms: torch.Tensor,
        top_p: float = 0.0,
        temperature: float = 1.0,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See the base class; any ``top_p`` > 0 samples the whole Gaussian."""
        mu, logvar = self._gaussian(hidden)
        sigma = (0.5 * logvar).exp()
        if top_p > 0 and self.draw:
            z = mu + temperature * sigma * normal(uniforms)
        else:
            z = self._likeliest(mu, sigma)
        codes = quantizer.latent_to_codes(z)
        return codes, z if self.continuous else quantizer.codes_to_latent(codes)

    def _likeliest(self, mu: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """The latent that stands for the Gaussian."""
        return mu + sigma


class GaussianHead(LatentHead):
    """TASTE2's Gaussian over the latent, which is used as it is drawn: what is read
    next and said is z itself, not the entries nearest to it.

    Loss: 0.5 MSE(z, c) + 0.5 K, with c the label's latent, z = mu + sigma * eps and
    K = 0.5 mean(sigma^2 + (mu - c)^2 / sigma^2 - 1 - log sigma^2), as TASTE2 has it (a
    KL divergence to N(c, 1) would not divide by sigma^2). Without training, the first
    term is its mean over eps, so that nothing is drawn. The most likely latent
    (``taste_top_p`` 0) is mu.

    Args:
        size: see :class:`AbsSpeechHead`.
        quantizer: see :class:`AbsSpeechHead`.
        linear_variance: log sigma^2 = V h instead of one vector for all segments.
        draw: False: z = mu, in training and whatever ``taste_top_p`` says.
    """

    continuous = True

    def __init__(
        self,
        size: int,
        quantizer: AbsQuantizer,
        linear_variance: bool = False,
        draw: bool = True,
    ):
        super().__init__(size, quantizer)
        self.draw = draw
        if linear_variance:
            del self.logvar
            self.logvar = torch.nn.Linear(size, self.codebook_dim, bias=False)

    def _compare(self, mu, logvar, target, noise) -> tuple[torch.Tensor, ...]:
        square = (mu - target) ** 2
        regression = square
        if noise is not None or self.training and self.draw:
            noise = torch.randn_like(mu) if noise is None else noise
            regression = (mu + (0.5 * logvar).exp() * noise - target) ** 2
        elif self.draw:
            regression = square + logvar.exp()
        kl = (logvar.exp() + square * (-logvar).exp() - 1 - logvar) / 2
        return mu, regression, kl

    def _gaussian(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mu, logvar = super()._gaussian(hidden)
        if isinstance(logvar, torch.nn.Linear):
            with torch.autocast(hidden.device.type, enabled=False):
                logvar = logvar(hidden.to(logvar.weight.dtype))
        return mu, logvar

    def _likeliest(self, mu: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return mu


def normal(uniforms: torch.Tensor) -> torch.Tensor:
    """(...) numbers in [0, 1) -> float32 of the standard normal distribution."""
    tiny = torch.finfo(uniforms.dtype).eps
    return torch.special.ndtri(uniforms.clamp(tiny, 1 - tiny)).float()
