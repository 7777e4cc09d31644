"""The velocity field of CosyVoice 2: causal convolutions, attention by chunks.

One resolution; nothing depends on frames after the own chunk.
"""

import torch
from torch import nn

from espnet2_taste.nn.padding import Padding, masked
from espnet2_taste.nn.stream_memory import CausalConv, StreamMemory, seen_mask
from espnet2_taste.vocoder.cosyvoice.unet import ConvBlock, UNet


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each frame of (B, C, T)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class CausalBlock(ConvBlock):
    """Mish(ChannelNorm(CausalConv(x))): (B, a, T) -> (B, b, T)."""

    def __init__(self, in_size: int, size: int):
        nn.Module.__init__(self)
        # published numbering: the norm stands between two transpositions
        layers = [CausalConv(in_size, size, 3), nn.Identity(), ChannelNorm(size)]
        self.block = nn.Sequential(*layers, nn.Identity(), nn.Mish())

    def forward(self, x: torch.Tensor, padding: Padding) -> torch.Tensor:
        conv, _, norm, _, activation = self.block
        return activation(norm(conv(x, padding.past)))


class CausalUNet(UNet):
    """:class:`UNet` of one resolution that sees no frame after the own chunk.

    Padding at the end of an item meets no convolution of it: only attention is masked.

    Attributes:
        left_chunks: chunks before the own one that a frame sees; None: all.
    """

    conv_block = CausalBlock
    num_levels = 1
    left_chunks: int | None = None

    @staticmethod
    def plain(size: int) -> CausalConv:
        return CausalConv(size, size, 3)

    @staticmethod
    def convolve(conv: nn.Module, x: torch.Tensor, padding: Padding) -> torch.Tensor:
        return conv(x, padding.past)

    def forward(
        self,
        x: torch.Tensor,
        mu: torch.Tensor,
        time: torch.Tensor,
        speaker: torch.Tensor,
        cond: torch.Tensor,
        mask: torch.Tensor | None = None,
        chunk: int | None = None,
        past: StreamMemory | None = None,
    ) -> torch.Tensor:
        """See :meth:`UNet.forward`.

        Args:
            chunk: frames of a chunk; None: a frame sees all others.
            past: what came before the T frames; its step says what is padding.
        """
        size, bias = x.size(2), None
        if past is not None:
            bias = past.step.seen(x.device)
        elif mask is not None or (chunk is not None and size > chunk):
            ends = torch.full((1,), size, device=x.device)
            ends = ends if mask is None else mask.sum((1, 2)).long()
            bias = seen_mask(size, size, chunk, ends, left=self.left_chunks)
        padding = Padding(bias=bias, past=past)
        return masked(self.run(x, mu, time, speaker, cond, [padding]), mask)
