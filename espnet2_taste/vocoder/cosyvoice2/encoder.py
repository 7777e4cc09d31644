"""CosyVoice 2's encoder: units -> vectors of twice their rate.

Blocks of CosyVoice 1's encoder at the units' rate and at the frames', causal by
chunks; before them a look at the next few units.
"""

import torch
from torch import nn
from torch.nn import functional as F

from espnet2_taste.nn.rel_pos_encoder import RelPosEncoder
from espnet2_taste.nn.segments import length_mask
from espnet2_taste.nn.stream_memory import (
    CausalConv,
    Step,
    StreamMemory,
    seen_mask,
)

RATE = 2  # vectors a unit


class LookAhead(nn.Module):
    """x + conv2(leaky_relu(conv1(x, next units)))."""

    def __init__(self, size: int, look_ahead: int):
        super().__init__()
        self.conv1 = nn.Conv1d(size, size, look_ahead + 1)
        self.conv2 = CausalConv(size, size, 3)

    def forward(
        self, x: torch.Tensor, ahead: torch.Tensor, past: StreamMemory | None = None
    ) -> torch.Tensor:
        """(B, n, size), its next units (B, look_ahead, size) -> (B, n, size)."""
        hidden = F.leaky_relu(self.conv1(torch.cat([x, ahead], 1).transpose(1, 2)))
        return x + self.conv2(hidden, past).transpose(1, 2)


class Doubling(nn.Module):
    """Each position twice, then a causal convolution: (B, n, C) -> (B, 2 n, C)."""

    def __init__(self, size: int):
        super().__init__()
        self.conv = CausalConv(size, size, 5)

    def forward(
        self, x: torch.Tensor, past: StreamMemory | None = None
    ) -> torch.Tensor:
        x = x.repeat_interleave(RATE, 1).transpose(1, 2)
        return self.conv(x, past).transpose(1, 2)


class EncoderMemory:
    """What an :class:`UpsamplingEncoder` remembers of B streams."""

    def __init__(self, count: int):
        self.units, self.frames = StreamMemory(count), StreamMemory(count)
        self.positions: dict[str, list[torch.Tensor]] = {}  # projected distances

    def begin(self, step: Step) -> None:
        """What is computed next, in units."""
        self.units.begin(step)
        self.frames.begin(step.scaled(RATE))


class UpsamplingEncoder(RelPosEncoder):
    """Units -> twice as many vectors.

    Args:
        input_size, size, num_heads, ffn_size, num_blocks, dropout: see
            :class:`RelPosEncoder`.
        up_blocks: blocks at the rate of the frames.
        look_ahead: units that a position sees beyond itself and its chunk.
        left_chunks: chunks before the own one that a position sees; None: all.
    """

    def __init__(
        self,
        input_size: int,
        size: int,
        num_heads: int,
        ffn_size: int,
        num_blocks: int,
        dropout: float,
        up_blocks: int = 4,
        look_ahead: int = 3,
        left_chunks: int | None = None,
    ):
        self.up_blocks = up_blocks
        self.left_chunks = left_chunks
        self.look_ahead = look_ahead
        super().__init__(
            input_size,
            size,
            num_heads,
            ffn_size,
            num_blocks,
            dropout,
            "conformer",
            causal=False,
            attention_dropout=dropout,
        )
        self.pre_lookahead_layer = LookAhead(size, look_ahead)
        self.up_layer = Doubling(size)

    def _make_layers(self, entry, block, input_size, num_blocks) -> None:
        super()._make_layers(entry, block, input_size, num_blocks)
        self.up_embed = entry(self.size)
        self.up_encoders = nn.ModuleList(block() for _ in range(self.up_blocks))

    def forward(
        self,
        x: torch.Tensor,
        lengths: torch.Tensor | None = None,
        chunk: int | None = None,
        ahead: torch.Tensor | None = None,
        past: EncoderMemory | None = None,
    ) -> torch.Tensor:
        """Encode n units, after those that ``past`` remembers.

        Args:
            x: (B, n, input_size).
            lengths: (B,) int64, at least 1; None: no padding.
            chunk: units of a chunk; None: a position sees all others.
            ahead: (B, look_ahead, input_size) the next units; None: they are the end.
            past: what came before; its step says what is padding.

        Returns:
            (B, 2 n, size); padded positions hold nothing of use.
        """
        size = x.size(1)
        units, frames = (None, None) if past is None else (past.units, past.frames)
        if ahead is None:
            x = self.enter(self.embed, x)
            ahead = x.new_zeros(len(x), self.look_ahead, self.size)
        else:
            joined = self.enter(self.embed, torch.cat([x, ahead], 1))
            x, ahead = joined[:, :size], joined[:, size:]
        x = self.pre_lookahead_layer(self._cut(x, lengths), ahead, units)
        x = self._attend("encoders", x, lengths, chunk, past, units)
        x = self.enter(self.up_embed, self.up_layer(x, frames))
        if chunk is not None:
            chunk = RATE * chunk
        if lengths is not None:
            lengths = RATE * lengths
        x = self._attend("up_encoders", x, lengths, chunk, past, frames)
        return self.after_norm(x)

    @staticmethod
    def _cut(x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Zeros in the padding: an item's last units look ahead into it."""
        if lengths is None:
            return x
        return x * length_mask(lengths, x.size(1))[..., None]

    def _attend(
        self,
        name: str,
        x: torch.Tensor,
        lengths: torch.Tensor | None,
        chunk: int | None,
        past: EncoderMemory | None,
        kv: StreamMemory | None,
    ) -> torch.Tensor:
        """The blocks called ``name``."""
        blocks, size = getattr(self, name), x.size(1)
        if kv is not None:
            step = kv.step
            seen, late = step.seen(x.device), step.late(x.device)
            positions = self._remembered(name, past, step, x)
            hidden = None if seen is None else ~seen
            return self.run(blocks, x, positions, hidden, kv, late)
        hidden = None
        if lengths is not None or (chunk is not None and size > chunk):
            ends = torch.full((1,), size, device=x.device)
            ends = ends if lengths is None else lengths
            hidden = ~seen_mask(size, size, chunk, ends, left=self.left_chunks)
        return self.run(blocks, x, self.positions(blocks, x), hidden)

    def _remembered(
        self, name: str, past: EncoderMemory, step: Step, like: torch.Tensor
    ) -> list[torch.Tensor]:
        """Distances T-1, ..., -(S-1), projected when the streams have doubled."""
        total, kept = step.total, past.positions.get(name)
        capacity = 0 if kept is None else (kept[0].size(1) + 1) // 2
        if capacity < total:
            capacity = max(256, 1 << (total - 1).bit_length())
            table = self.table(capacity, like, causal=False)
            kept = past.positions[name] = [
                block.self_attn.project_positions(table)
                for block in getattr(self, name)
            ]
        return [rows[:, capacity - total : capacity + step.size - 1] for rows in kept]
