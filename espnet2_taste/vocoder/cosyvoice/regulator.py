"""Length regulator: from the rate of the units to that of the mel's frames."""

import torch
from torch import nn
from torch.nn import functional as F

from espnet2_taste.nn.padding import (
    MaskedGroupNorm,
    frame_mask,
    masked,
    nearest,
)

NUM_LAYERS = 4


class LengthRegulator(nn.Module):
    """Nearest interpolation, then 4 x [Conv, GroupNorm(1), Mish] and a projection.

    Args:
        size: channels in and out.
    """

    def __init__(self, size: int = 80):
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(NUM_LAYERS):
            conv = nn.Conv1d(size, size, 3, padding=1)
            layers += [conv, MaskedGroupNorm(1, size), nn.Mish()]
        self.model = nn.Sequential(*layers, nn.Conv1d(size, size, 1))

    def forward(
        self,
        x: torch.Tensor,
        size: int,
        lengths: torch.Tensor | None = None,
        frames: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Stretch n units to T frames.

        Args:
            x: (B, n, C).
            size: T, the largest of ``frames``.
            lengths: (B,) int64 units, at least 1; None (as ``frames``): no padding.
            frames: (B,) int64 mel frames, at least 1.

        Returns:
            (B, C, T), zeros in the padding.
        """
        mask = frame_mask(frames, size)
        if lengths is None:
            x, inner = F.interpolate(x.transpose(1, 2), size, mode="nearest"), None
        else:
            x, inner = nearest(x, lengths, frames, size).transpose(1, 2), mask
        for layer in self.model:
            if isinstance(layer, nn.Conv1d):
                x = layer(masked(x, inner))
            elif isinstance(layer, MaskedGroupNorm):
                x = layer(x, inner)
            else:
                x = layer(x)
        return masked(x, mask)
