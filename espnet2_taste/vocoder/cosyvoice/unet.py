"""The velocity v(x, t | mu, speaker, cond) of the flow: a 1-d U-Net with attention.

Two resolutions, T and ceil(T / 2) frames (CosyVoice 2's has one). Names of parameters
are those of the published checkpoints (``flow.decoder.estimator.*``).
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from espnet2_taste.nn.light_linears import input_dtype
from espnet2_taste.nn.padding import MaskedGroupNorm, Padding, masked

NUM_GROUPS = 8
FFN_RATIO = 4
TIME_SCALE = 1000.0


class ConvBlock(nn.Module):
    """Mish(GroupNorm(Conv(x))): (B, a, T) -> (B, b, T)."""

    def __init__(self, in_size: int, size: int):
        super().__init__()
        conv = nn.Conv1d(in_size, size, 3, padding=1)
        self.block = nn.Sequential(conv, MaskedGroupNorm(NUM_GROUPS, size), nn.Mish())

    def forward(self, x: torch.Tensor, padding: Padding) -> torch.Tensor:
        conv, norm, activation = self.block
        return activation(norm(conv(masked(x, padding.conv)), padding.norm))


class ResNet(nn.Module):
    """Two blocks, the time added between them, around a 1x1 convolution."""

    def __init__(self, in_size: int, size: int, time_size: int, block=ConvBlock):
        super().__init__()
        self.block1 = block(in_size, size)
        self.mlp = nn.Sequential(nn.Mish(), nn.Linear(time_size, size))
        self.block2 = block(size, size)
        self.res_conv = nn.Conv1d(in_size, size, 1)

    def forward(
        self, x: torch.Tensor, time: torch.Tensor, padding: Padding
    ) -> torch.Tensor:
        """(B, in_size, T), (B or 1, size) from ``mlp`` -> (B, size, T)."""
        hidden = self.block2(self.block1(x, padding) + time[..., None], padding)
        hidden = masked(hidden, padding.conv)
        return hidden + self.res_conv(masked(x, padding.conv))


class Attention(nn.Module):
    """Self-attention without biases but at the output."""

    def __init__(self, size: int, num_heads: int, head_size: int):
        super().__init__()
        self.num_heads = num_heads
        for name in ("to_q", "to_k", "to_v"):
            self.add_module(name, nn.Linear(size, num_heads * head_size, bias=False))
        self.to_out = nn.ModuleList([nn.Linear(num_heads * head_size, size)])

    def forward(self, x: torch.Tensor, padding: Padding) -> torch.Tensor:
        query, key, value = (
            linear(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for linear in (self.to_q, self.to_k, self.to_v)
        )
        if padding.past is not None:
            key, value = padding.past.append(self, key, value)
        bias = padding.bias
        if bias is not None and bias.dtype != torch.bool:
            bias = bias.to(query.dtype)  # SDPA misreads a mask of another type
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.to_out[0](out.transpose(1, 2).flatten(2))


class GeluProjection(nn.Module):
    """gelu(proj(x)), a module of its own in the published names."""

    def __init__(self, size: int, ffn_size: int):
        super().__init__()
        self.proj = nn.Linear(size, ffn_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(self.proj(x))


class FeedForward(nn.Module):
    """W_2 gelu(W_1 x)."""

    def __init__(self, size: int):
        super().__init__()
        first = GeluProjection(size, FFN_RATIO * size)
        # published numbering: a dropout of 0 lies between
        self.net = nn.Sequential(
            first, nn.Identity(), nn.Linear(FFN_RATIO * size, size)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


class TransformerBlock(nn.Module):
    """x += attn1(norm1 x); x += ff(norm3 x), on (B, T, size)."""

    def __init__(self, size: int, num_heads: int, head_size: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(size)
        self.attn1 = Attention(size, num_heads, head_size)
        self.norm3 = nn.LayerNorm(size)
        self.ff = FeedForward(size)

    def forward(self, x: torch.Tensor, padding: Padding) -> torch.Tensor:
        # with light weights everything between two sums is in their type
        dtype = input_dtype(self.attn1.to_q)
        x = x + self.attn1(self.norm1(x).to(dtype), padding)
        return x + self.ff(self.norm3(x).to(dtype))


class Resample(nn.Module):
    """A strided or transposed convolution, ``.conv`` in the published names."""

    def __init__(self, conv: nn.Module):
        super().__init__()
        self.conv = conv

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class UNet(nn.Module):
    """Velocity field of the flow.

    Args:
        mel_size: bins of the mel.
        size: width at both resolutions, a multiple of 8.
        num_heads, head_size: of the attention.
        num_blocks: transformer blocks of each stage.
        num_mid_stages: stages between down and up.
    """

    conv_block = ConvBlock
    num_levels = 2  # resolutions
    padding = staticmethod(Padding.of)

    def __init__(
        self,
        mel_size: int = 80,
        size: int = 256,
        num_heads: int = 8,
        head_size: int = 64,
        num_blocks: int = 4,
        num_mid_stages: int = 12,
    ):
        super().__init__()
        self.in_size = 4 * mel_size  # x, mu, speaker, cond; also of the time embedding
        time_size = 4 * size
        self.time_mlp = nn.ModuleDict(
            {
                "linear_1": nn.Linear(self.in_size, time_size),
                "linear_2": nn.Linear(time_size, time_size),
            }
        )

        def stage(in_size: int, *resample: nn.Module) -> nn.ModuleList:
            blocks = (
                TransformerBlock(size, num_heads, head_size) for _ in range(num_blocks)
            )
            resnet = ResNet(in_size, size, time_size, self.conv_block)
            return nn.ModuleList([resnet, nn.ModuleList(blocks), *resample])

        def halve() -> Resample:
            return Resample(nn.Conv1d(size, size, 3, stride=2, padding=1))

        def double() -> Resample:
            return Resample(nn.ConvTranspose1d(size, size, 4, stride=2, padding=1))

        changes = self.num_levels - 1  # of the resolution; the last level has none
        down = [halve() for _ in range(changes)] + [self.plain(size)]
        up = [double() for _ in range(changes)] + [self.plain(size)]
        in_sizes = [self.in_size] + changes * [size]
        self.down_blocks = nn.ModuleList(
            stage(in_size, last) for in_size, last in zip(in_sizes, down, strict=True)
        )
        self.mid_blocks = nn.ModuleList(stage(size) for _ in range(num_mid_stages))
        self.up_blocks = nn.ModuleList(stage(2 * size, last) for last in up)
        self.final_block = self.conv_block(size, size)
        self.final_proj = nn.Conv1d(size, mel_size, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @staticmethod
    def plain(size: int) -> nn.Module:
        """The convolution at the end of a stage that keeps the resolution."""
        return nn.Conv1d(size, size, 3, padding=1)

    def stages(self) -> list[nn.ModuleList]:
        """All stages in the order they are run."""
        return [*self.down_blocks, *self.mid_blocks, *self.up_blocks]

    def time_table(self, t: torch.Tensor) -> torch.Tensor:
        """What each stage adds at the times t: (K,) in [0, 1] -> (K, stages, size)."""
        half = self.in_size // 2
        index = torch.arange(half, device=t.device).float()
        speed = torch.exp(index * (-math.log(10000.0) / (half - 1)))
        angle = TIME_SCALE * t[:, None] * speed
        hidden = self.time_mlp["linear_1"](torch.cat([angle.sin(), angle.cos()], -1))
        time = self.time_mlp["linear_2"](F.silu(hidden))
        return torch.stack([stage[0].mlp(time) for stage in self.stages()], 1)

    def forward(
        self,
        x: torch.Tensor,
        mu: torch.Tensor,
        time: torch.Tensor,
        speaker: torch.Tensor,
        cond: torch.Tensor,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Velocity of a batch.

        Args:
            x: (B, mel_size, T) state.
            mu: (B, mel_size, T) prior mean.
            time: (B or 1, stages, size), rows of :meth:`time_table`.
            speaker: (B, mel_size).
            cond: (B, mel_size, T) known mel frames, else zeros.
            mask: (B, 1, T), 1 at valid frames; None: all are.

        Returns:
            (B, mel_size, T), zeros in the padding.
        """
        halves = [mask if mask is None else mask[..., :: 2**n] for n in range(2)]
        paddings = [self.padding(half) for half in halves[: self.num_levels]]
        return masked(self.run(x, mu, time, speaker, cond, paddings), mask)

    def run(
        self,
        x: torch.Tensor,
        mu: torch.Tensor,
        time: torch.Tensor,
        speaker: torch.Tensor,
        cond: torch.Tensor,
        paddings: list[Padding],
    ) -> torch.Tensor:
        """:meth:`forward` with a padding for each resolution; its result has some."""
        steps = iter(time.unbind(1))
        speaker = speaker[..., None].expand(-1, -1, x.size(2))
        x = torch.cat([x, mu, speaker, cond], 1)
        skips = []
        for stage, padding in zip(self.down_blocks, paddings, strict=True):
            x = self._run(stage, x, next(steps), padding)
            skips.append(x)
            x = self.convolve(stage[2], x, padding)
        for stage in self.mid_blocks:
            x = self._run(stage, x, next(steps), paddings[-1])
        for stage, padding in zip(self.up_blocks, paddings[::-1], strict=True):
            skip = skips.pop()
            x = torch.cat([x[..., : skip.size(2)], skip], 1)
            x = self._run(stage, x, next(steps), padding)
            x = self.convolve(stage[2], x, padding)
        x = self.final_block(x, paddings[0])
        return self.final_proj(masked(x, paddings[0].conv))

    @staticmethod
    def convolve(conv: nn.Module, x: torch.Tensor, padding: Padding) -> torch.Tensor:
        """The convolution at the end of a stage."""
        return conv(masked(x, padding.conv))

    @staticmethod
    def _run(
        stage: nn.ModuleList, x: torch.Tensor, time: torch.Tensor, padding: Padding
    ) -> torch.Tensor:
        """ResNet, then the transformer blocks: (B, in, T) -> (B, size, T)."""
        x = stage[0](x, time, padding).transpose(1, 2).contiguous()
        for block in stage[1]:
            x = block(x, padding)
        return x.transpose(1, 2)
