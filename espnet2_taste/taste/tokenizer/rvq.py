"""Residual vector quantisation (paper eq. 4)."""

import torch

from espnet2_taste.taste.tokenizer.abs_quantizer import AbsQuantizer


class ResidualVQQuantizer(AbsQuantizer):
    """R codebooks, each quantising what the ones before it left over.

    The package's ``ResidualVQ`` between our projections: EMA codebooks, per-layer
    straight-through gradients, commitment loss averaged over valid vectors and summed
    over codebooks. Codebook buffers of published TASTE checkpoints load as they are
    (``rvq.layers.*``; their ``rvq.project_in/out`` are ``project_in/out`` here).

    Unlike the package, codebooks start as the k-means centroids of the first training
    batch themselves, each on the residual of the codebooks before it, as in the
    reference: the package divides by smoothed counts, which sets empty clusters to 0.
    The commitment loss, EMA statistics and k-means never see padding.

    Args:
        dim: width of the token vectors.
        codebook_dim: width inside; None or ``dim`` for no projections.
        num_codebooks: R.
        codebook_size: K.
        decay: of the moving averages that are the codebooks.
        commitment_weight: scales the loss.
        kmeans_init: start from k-means of the first training batch (of all ranks).
        kmeans_iters: Lloyd iterations.
        quantize_dropout: while training, keep only the first 1..R codebooks, drawn
            anew each step (the same on every rank).
        dead_code_threshold: entries whose average count falls below are replaced by
            vectors of the batch; 0: never, as in the paper.
        noise: std of Gaussian noise added to the latent while training.
    """

    def __init__(
        self,
        dim: int,
        codebook_dim: int | None = 256,
        num_codebooks: int = 4,
        codebook_size: int = 512,
        decay: float = 0.99,
        commitment_weight: float = 1.0,
        kmeans_init: bool = True,
        kmeans_iters: int = 10,
        quantize_dropout: bool = False,
        dead_code_threshold: float = 0.0,
        noise: float = 0.0,
    ):
        if num_codebooks < 1 or codebook_size < 2:
            raise ValueError(
                f"rvq: need num_codebooks >= 1 and codebook_size >= 2, got "
                f"{num_codebooks} and {codebook_size}"
            )
        from espnet2_taste.nn.vector_quantize import ResidualVQ  # seconds to import

        super().__init__(dim, codebook_dim, noise)
        self.rvq = ResidualVQ(
            dim=self.codebook_dim,
            num_quantizers=num_codebooks,
            codebook_size=codebook_size,
            decay=decay,
            commitment_weight=commitment_weight,
            kmeans_init=kmeans_init,
            kmeans_iters=kmeans_iters,
            quantize_dropout=quantize_dropout,
            threshold_ema_dead_code=dead_code_threshold,
            rotation_trick=False,  # the reference's gradients
        )

    @property
    def num_codebooks(self) -> int:
        """Codes per token (R)."""
        return self.rvq.num_quantizers

    @property
    def codebook_size(self) -> int:
        """Entries per codebook (K)."""
        return self.rvq.codebook_size

    @property
    def codebooks(self) -> torch.Tensor:
        """(R, K, codebook_dim) float32 entries."""
        return self.rvq.codebooks

    def quantize(
        self, latent: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Quantise float32 (B, L, codebook_dim) where mask (B, L) is True.

        Raises:
            RuntimeError: in eval mode before any training or loading.
        """
        self._initialise(latent.detach(), mask)
        quantized, codes, losses = self.rvq(latent, mask=mask)
        return quantized, codes, losses.sum()

    def codes_to_latent(self, codes: torch.Tensor) -> torch.Tensor:
        """(..., R') codes, R' <= R -> (..., codebook_dim): sum of their entries."""
        books = self.codebooks[: codes.size(-1)]
        layer = torch.arange(len(books), device=codes.device)
        entries = books[layer, codes.clamp(min=0)]  # (..., R', codebook_dim)
        return (entries * (codes >= 0)[..., None]).sum(dim=-2)

    def latent_to_codes(self, latent: torch.Tensor) -> torch.Tensor:
        """(..., codebook_dim) -> (..., R) int64: greedy search, one book at a time."""
        from espnet2_taste.nn.vector_quantize import cdist

        residual = latent.detach().float().reshape(1, -1, self.codebook_dim)
        codes = []
        with torch.autocast(latent.device.type, enabled=False):
            for book in self.codebooks:
                codes.append(cdist(residual, book[None])[0].argmin(dim=-1))
                residual = residual - book[codes[-1]]
        return torch.stack(codes, dim=-1).view(*latent.shape[:-1], self.num_codebooks)

    @torch.inference_mode()
    def average_latent(self) -> torch.Tensor:
        """By the codebooks' moving counts: sum over books of their mean entries."""
        counts = [layer._codebook.cluster_size[0] for layer in self.rvq.layers]
        shares = torch.stack([count / count.sum().clamp(min=1e-9) for count in counts])
        return (shares[..., None] * self.codebooks).sum(dim=(0, 1))

    @torch.no_grad()
    def _initialise(self, latent: torch.Tensor, mask: torch.Tensor) -> None:
        """k-means on the first training batch; nothing once that is done."""
        codebooks = [layer._codebook for layer in self.rvq.layers]
        if codebooks[-1].initted:
            return
        if not self.training:
            raise RuntimeError(
                "rvq: the codebooks are empty: train or load a checkpoint first "
                "(or kmeans_init: false for random ones)"
            )
        from espnet2_taste.nn.vector_quantize import cdist, kmeans

        residual = latent[mask][None]
        for book in codebooks:
            means, counts = kmeans(
                residual,
                book.codebook_size,
                book.kmeans_iters,
                sample_fn=book.sample_fn,
                all_reduce_fn=book.kmeans_all_reduce_fn,
            )
            book.embed.copy_(means)
            book.cluster_size.copy_(counts)
            book.embed_avg.copy_(means * counts[..., None])
            book.initted.fill_(True)
            nearest = cdist(residual, means)[0].argmin(dim=-1)
            residual = residual - means[:, nearest]
