"""Pre-norm transformer that sees both sides, with rotary positions on any time axis."""

import torch

from espnet2_taste.taste.speech_decoder.causal_transformer import TransformerLayer


class BidirectionalTransformer(torch.nn.Module):
    """A stack of :class:`TransformerLayer` and a final norm; no cache.

    Args:
        size: width.
        num_layers: layers.
        num_heads: attention heads; ``size / num_heads`` must be even.
        ffn_ratio: feed-forward width over ``size``.
        dropout: of the residual branches.
        base: of the rotary frequencies.
    """

    def __init__(
        self,
        size: int,
        num_layers: int,
        num_heads: int,
        ffn_ratio: float = 4.0,
        dropout: float = 0.0,
        base: float = 10000.0,
    ):
        super().__init__()
        if size % (2 * num_heads):
            raise ValueError(f"size {size} is not a multiple of 2 x {num_heads} heads")
        half = torch.arange(0, size // num_heads, 2) / (size // num_heads)
        self.register_buffer("speed", base**-half, persistent=False)
        self.layers = torch.nn.ModuleList(
            TransformerLayer(size, num_heads, round(ffn_ratio * size), dropout)
            for _ in range(num_layers)
        )
        self.norm = torch.nn.LayerNorm(size)
        for layer in self.layers:
            for linear in (layer.out, layer.down):
                linear.weight.data /= (2 * num_layers) ** 0.5

    def forward(
        self, x: torch.Tensor, position: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Transform whole sequences.

        Args:
            x: (B, S, size).
            position: (B, S) float, where each vector stands in time.
            mask: (B, S) bool, True at vectors that exist.

        Returns:
            (B, S, size); anything where ``mask`` is False.
        """
        angle = (position[..., None] * self.speed)[:, None]  # (B, 1, S, head_size / 2)
        rope = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        # an utterance without anything would have nothing to attend to
        seen = (mask | ~mask.any(1, keepdim=True))[:, None, None]
        for layer in self.layers:
            x = layer(x, rope, seen)
        return self.norm(x)
