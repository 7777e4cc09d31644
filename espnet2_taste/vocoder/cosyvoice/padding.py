"""Right padding that changes nothing: masks, norms and reflections per item.

Every mask here is None where no item of a batch is padded; then nothing is computed
for it. A batch of different lengths gives what each item gives alone.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from espnet2_taste.nn.segments import length_mask


def frame_mask(lengths: torch.Tensor | None, size: int) -> torch.Tensor | None:
    """(B,) lengths -> (B, 1, size) float32, 1 at valid frames."""
    return None if lengths is None else length_mask(lengths, size)[:, None].float()


def masked(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Zero the padding of (B, C, T)."""
    return x if mask is None else x * mask


class MaskedGroupNorm(torch.nn.GroupNorm):
    """GroupNorm over (B, C, T) whose statistics see valid frames only."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Normalise; ``mask`` as of :func:`frame_mask`. The padding holds nothing."""
        if mask is None:
            return super().forward(x)
        groups = x.unflatten(1, (self.num_groups, -1))
        mask = mask[:, None]
        count = mask.sum((2, 3), keepdim=True) * groups.size(2)
        centred = groups - (groups * mask).sum((2, 3), keepdim=True) / count
        variance = (centred * mask).square().sum((2, 3), keepdim=True) / count
        normed = (centred * (variance + self.eps).rsqrt()).flatten(1, 2)
        return normed * self.weight[:, None] + self.bias[:, None]


@dataclass
class Padding:
    """How one resolution of the U-Net keeps padding out of its results.

    Attributes:
        conv: (B, 1, T), multiplies the input of every convolution.
        norm: (B, 1, T), the frames that group norms count.
        bias: attention bias that broadcasts to (B, H, T, T): bool, True where a key is
            seen, or numbers added to the logits.
    """

    conv: torch.Tensor | None = None
    norm: torch.Tensor | None = None
    bias: torch.Tensor | None = None

    @classmethod
    def of(cls, mask: torch.Tensor | None) -> "Padding":
        """From a mask of :func:`frame_mask`."""
        if mask is None:
            return cls()
        return cls(mask, mask, mask.bool()[:, None])


def nearest(
    x: torch.Tensor, lengths: torch.Tensor, frames: torch.Tensor, size: int
) -> torch.Tensor:
    """Nearest interpolation of each item from its length to its frames.

    Source positions are rounded as torch's ``nearest`` rounds them, in float32.

    Args:
        x: (B, n, C).
        lengths: (B,) int64 valid positions, at least 1.
        frames: (B,) int64 frames to make of them.
        size: T of the result, at least the largest of ``frames``.

    Returns:
        (B, T, C); the padding repeats the last position.
    """
    scale = lengths.float() / frames.float()
    index = (torch.arange(size, device=x.device).float() * scale[:, None]).long()
    index = torch.minimum(index, lengths[:, None] - 1)
    return x.gather(1, index[..., None].expand(-1, -1, x.size(2)))


def reflect(x: torch.Tensor, lengths: torch.Tensor | None, amount: int) -> torch.Tensor:
    """Reflection padding at both ends of each item.

    Args:
        x: (B, N).
        lengths: (B,) int64, more than ``amount``; None: all N.
        amount: samples added at each end.

    Returns:
        (B, N + 2 amount); an item's right padding starts after its last sample.
    """
    if lengths is None:
        return F.pad(x, (amount, amount), mode="reflect")
    index = torch.arange(-amount, x.size(1) + amount, device=x.device).abs()
    last = lengths[:, None] - 1
    index = torch.where(index > last, 2 * last - index, index)
    return x.gather(1, index.clamp(min=0))
