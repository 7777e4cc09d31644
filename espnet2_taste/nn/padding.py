"""The end of an item: right padding that changes nothing.

The law: a batch gives what each of its items gives alone. Whatever reaches beyond an
item's end (a convolution, a reflection, a norm, a window) meets there what it meets
alone, and not its neighbours' length. Helpers: masks, norms, reflections and
interpolation per item; :func:`by_length` for networks that have no masks.

Every mask here is None where no item of a batch is padded; then nothing is computed
for it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from espnet2_taste.nn.segments import length_mask
from espnet2_taste.nn.stream_memory import StreamMemory


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
        past: what came before the frames of a stream; None: nothing did.
    """

    conv: torch.Tensor | None = None
    norm: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    past: StreamMemory | None = None

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


def reflect(
    x: torch.Tensor, lengths: torch.Tensor, before: int, after: int
) -> torch.Tensor:
    """Each item goes on beyond its ends as its reflection, without repeating them.

    Where torch's ``reflect`` padding is defined, this is its result for the item alone;
    an item shorter than that is reflected to and fro.

    Args:
        x: (B, N).
        lengths: (B,) int64, at least 1.
        before: samples added before the first one.
        after: samples added after each item's last one.

    Returns:
        (B, before + N + after).
    """
    index = torch.arange(-before, x.size(1) + after, device=x.device).abs()
    last = (lengths - 1)[:, None]
    index = index % (2 * last).clamp(min=1)
    return x.gather(1, torch.minimum(index, 2 * last - index).clamp(min=0))


def by_length(
    run: Callable[..., list[torch.Tensor]], x: torch.Tensor, lengths: torch.Tensor
) -> list[torch.Tensor]:
    """Run the items of each length by themselves.

    Args:
        run: (b, n, ...) of one length and its lengths (b,) -> tensors (b, ...) or
            (b, m, ...).
        x: (B, N, ...).
        lengths: (B,) int64.

    Returns:
        ``run``'s tensors for all items, zeros after the end of each.
    """
    order, parts = [], []
    for length in lengths.unique().tolist():
        rows = (lengths == length).nonzero().squeeze(1)
        order.append(rows)
        parts.append(run(x[rows, :length], lengths[rows]))
    place = torch.cat(order).argsort()
    joined = []
    for column in zip(*parts, strict=True):
        if column[0].dim() > 1:
            rows = [row for part in column for row in part]
            column = [torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)]
        joined.append(torch.cat(column)[place])
    return joined
