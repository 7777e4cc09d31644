"""What every quantizer offers: projections around a (possibly empty) bottleneck."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch


@dataclass
class QuantizerOutput:
    """Quantised token vectors.

    Attributes:
        embeddings: (B, L, dim) what the speech decoder reads.
        latent: (B, L, codebook_dim) the vectors before quantisation.
        codes: (B, L, num_codebooks) int64, -1 at masked positions and in codebooks
            dropped by quantise dropout; None for ``quantizer: none``.
        loss: scalar, commitment loss summed over codebooks (0 in eval mode).
    """

    embeddings: torch.Tensor
    latent: torch.Tensor
    codes: torch.Tensor | None
    loss: torch.Tensor


class AbsQuantizer(torch.nn.Module, ABC):
    """``project_in`` -> :meth:`quantize` -> ``project_out`` (paper eq. 4).

    The projections live here, under the same names for every choice, so that the
    sub-stage without quantiser initialises the one with it.

    Args:
        dim: width of the token vectors (the aggregator's output).
        codebook_dim: width inside; None or ``dim`` means no projections.
        noise: std of Gaussian noise added to the latent while training.
    """

    def __init__(self, dim: int, codebook_dim: int | None = None, noise: float = 0.0):
        super().__init__()
        self.dim = dim
        self.codebook_dim = codebook_dim or dim
        self.noise = noise
        if self.codebook_dim == dim:
            self.project_in = torch.nn.Identity()
            self.project_out = torch.nn.Identity()
        else:
            self.project_in = torch.nn.Linear(dim, self.codebook_dim)
            self.project_out = torch.nn.Linear(self.codebook_dim, dim)

    @property
    @abstractmethod
    def num_codebooks(self) -> int:
        """Codes per token (R); 0 for ``none``."""

    @property
    @abstractmethod
    def codebook_size(self) -> int:
        """Entries per codebook (K); 0 for ``none``."""

    @abstractmethod
    def quantize(
        self, latent: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
        """Quantise float32 (B, L, codebook_dim) where mask (B, L) is True.

        Returns:
            quantised (B, L, codebook_dim) with straight-through gradient, codes
            (B, L, R) or None, scalar loss. Masked positions are 0 / -1.
        """

    @abstractmethod
    def codes_to_latent(self, codes: torch.Tensor) -> torch.Tensor:
        """(..., R) codes -> (..., codebook_dim); code -1 contributes 0."""

    @abstractmethod
    def latent_to_codes(self, latent: torch.Tensor) -> torch.Tensor:
        """(..., codebook_dim) -> (..., R) int64, nearest entries, no projection."""

    def average_latent(self) -> torch.Tensor | None:
        """(codebook_dim,) mean of training's quantised latents; None: not known."""
        return None

    def codes_to_embeddings(self, codes: torch.Tensor) -> torch.Tensor:
        """(..., R) codes -> (..., dim): the vectors a speech decoder or TASLM reads."""
        return self.project_out(self.codes_to_latent(codes))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> QuantizerOutput:
        """Quantise token vectors.

        Args:
            x: (B, L, dim) token vectors.
            mask: (B, L) bool, True at valid positions.
        """
        latent = self.project_in(x)
        if self.training and self.noise > 0:
            latent = latent + self.noise * torch.randn_like(latent)
        # distances, k-means and moving averages are float32 whatever the rest is
        with torch.autocast(x.device.type, enabled=False):
            quantized, codes, loss = self.quantize(latent.float(), mask)
        return QuantizerOutput(self.project_out(quantized), latent, codes, loss)
