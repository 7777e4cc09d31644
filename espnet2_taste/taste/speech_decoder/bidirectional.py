"""Pre-norm transformer that sees both sides, with rotary positions on any time axis."""

import torch

from espnet2_taste.nn.recompute import through
from espnet2_taste.taste.speech_decoder.causal_transformer import TransformerStack


class BidirectionalTransformer(TransformerStack):
    """Whole sequences, no cache.

    Args:
        base: of the rotary frequencies; the others are those of
            :class:`TransformerStack`.
    """

    def __init__(self, *args, base: float = 10000.0, **kwargs):
        super().__init__(*args, **kwargs)
        half = torch.arange(0, self.head_size, 2) / self.head_size
        self.register_buffer("speed", base**-half, persistent=False)

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
            x = through(self, layer, x, rope, seen)
        return self.norm(x)
