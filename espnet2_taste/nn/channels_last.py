"""Convolutions along time with the channels of a frame side by side.

So a CPU computes them fastest: oneDNN then multiplies matrices. ``torch.conv1d`` does
not see this layout, ``torch.conv2d`` with a height of 1 does.
"""

import torch
from torch.nn import functional as F


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """(B, C, T) of any layout -> the same numbers, on a CPU laid out as (B, T, C)."""
    if x.device.type != "cpu":
        return x
    return x.transpose(1, 2).contiguous().transpose(1, 2)


def convolve(
    layer: torch.nn.Conv1d | torch.nn.ConvTranspose1d,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    """What a layer would make of ``x`` with these weights; channels last, on a CPU.

    Args:
        layer: with zeros as padding, its size as a number.
        x: (B, in, T).
        weight, bias: as the layer's, possibly of another dtype; that of ``x``.

    Returns:
        (B, out, T').
    """
    x, weight = channels_last(x)[:, :, None], weight[:, :, None]
    stride, dilation = (1, *layer.stride), (1, *layer.dilation)
    padding = (0, *layer.padding)
    if isinstance(layer, torch.nn.ConvTranspose1d):
        more = ((0, *layer.output_padding), layer.groups, dilation)
        found = F.conv_transpose2d(x, weight, bias, stride, padding, *more)
    else:
        more = (dilation, layer.groups)
        found = F.conv2d(x, weight, bias, stride, padding, *more)
    return found.squeeze(2)


class ChannelsLastConv(torch.nn.Conv1d):
    """A ``Conv1d`` that gives, on a CPU, a result with channels last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.device.type != "cpu":
            return super().forward(x)
        return convolve(self, x, self.weight, self.bias)
