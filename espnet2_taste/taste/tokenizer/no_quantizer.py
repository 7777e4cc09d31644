"""No quantiser: the paper's second sub-stage (continuous TASTE)."""

import torch

from espnet2_taste.taste.tokenizer.abs_quantizer import AbsQuantizer


class NoQuantizer(AbsQuantizer):
    """Pass the projected vectors through.

    Args:
        dim: width of the token vectors.
        codebook_dim: width of the bottleneck; give that of the quantiser to come.
        noise: std of Gaussian noise added to the latent while training, which
            prepares the decoder for quantisation errors.
    """

    @property
    def num_codebooks(self) -> int:
        """There are no codes."""
        return 0

    @property
    def codebook_size(self) -> int:
        """There are no codes."""
        return 0

    def quantize(
        self, latent: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, None, torch.Tensor]:
        """(B, L, codebook_dim) unchanged, 0 where mask is False; no codes."""
        return latent * mask[..., None], None, latent.new_zeros(())

    def codes_to_latent(self, codes: torch.Tensor) -> torch.Tensor:
        """There are no codes to convert: RuntimeError."""
        raise RuntimeError(
            "quantizer 'none' has no codes: train one with quantizer rvq or fsq"
        )

    def latent_to_codes(self, latent: torch.Tensor) -> torch.Tensor:
        """There are no codes to give: RuntimeError."""
        raise RuntimeError(
            "quantizer 'none' has no codes: train one with quantizer rvq or fsq"
        )
