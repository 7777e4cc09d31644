"""Finite scalar quantisation (arXiv 2309.15505)."""

import torch

from espnet2_taste.taste.tokenizer.abs_quantizer import AbsQuantizer


class _TanhLinear(torch.nn.Linear):
    """Linear into (-1, 1); the names of a Linear, so that sub-stages share weights."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).tanh()


class FSQQuantizer(AbsQuantizer):
    """Rounds every bounded latent dimension to one of a few levels.

    The latent is already in (-1, 1): :meth:`latent_to_codes` therefore finds the
    nearest grid point of quantised and of unquantised vectors alike. There is no
    commitment loss, and codebooks cannot collapse.

    Args:
        dim: width of the token vectors.
        levels: levels per dimension of one codebook, e.g. [8, 5, 5, 5]: K = 1000.
        num_codebooks: R codebooks side by side; codebook_dim = R * len(levels).
        noise: std of Gaussian noise added to the latent while training.
    """

    def __init__(
        self,
        dim: int,
        levels: tuple[int, ...] | list[int] = (8, 5, 5, 5),
        num_codebooks: int = 1,
        noise: float = 0.0,
    ):
        if not levels or min(levels) < 2 or num_codebooks < 1:
            raise ValueError(
                f"fsq: levels must be 2 or more each and num_codebooks positive, "
                f"got {list(levels)} and {num_codebooks}"
            )
        from espnet2_taste.nn.vector_quantize import FSQ  # seconds to import

        super().__init__(dim, codebook_dim=len(levels) * num_codebooks, noise=noise)
        if self.codebook_dim == dim:
            self.project_in = torch.nn.Tanh()
        else:
            self.project_in = _TanhLinear(dim, self.codebook_dim)
        # Symmetric levels span [-1, 1]; clamping, as tanh has been applied.
        self.fsq = FSQ(
            levels=list(levels),
            num_codebooks=num_codebooks,
            keep_num_codebooks_dim=True,
            preserve_symmetry=True,
            bound_hard_clamp=True,
        )

    @property
    def num_codebooks(self) -> int:
        """Codes per token (R)."""
        return self.fsq.num_codebooks

    @property
    def codebook_size(self) -> int:
        """Entries per codebook: the product of the levels."""
        return self.fsq.codebook_size

    def quantize(
        self, latent: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Round (B, L, codebook_dim), straight-through; 0 / -1 where masked."""
        quantized, codes = self.fsq(latent)
        quantized = (quantized * mask[..., None]).to(latent.dtype)
        codes = codes.long().masked_fill(~mask[..., None], -1)
        return quantized, codes, latent.new_zeros(())

    def codes_to_latent(self, codes: torch.Tensor) -> torch.Tensor:
        """(..., R) codes -> (..., codebook_dim); code -1 contributes 0."""
        grid = self.fsq.implicit_codebook[codes.clamp(min=0)]
        return (grid * (codes >= 0)[..., None]).flatten(-2)

    def latent_to_codes(self, latent: torch.Tensor) -> torch.Tensor:
        """(..., codebook_dim) -> (..., R) int64, nearest grid points."""
        groups = latent.float().unflatten(-1, (self.num_codebooks, -1))
        return self.fsq.codes_to_indices(self.fsq.quantize(groups)).long()
