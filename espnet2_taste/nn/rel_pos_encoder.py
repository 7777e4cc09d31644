"""Encoders with Transformer-XL relative positions, as CosyVoice 1 has them.

Shared by the speech decoder and the `cosyvoice` vocoder; names of parameters are those
of the published checkpoints. The speech decoder's encoders are causal, and right
padding needs no mask; the vocoder's sees its whole input and needs a mask of the
padding.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from espnet2_taste.nn.kv_cache import KVCache, RaggedKVCache
from espnet2_taste.nn.recompute import through
from espnet2_taste.nn.rel_pos_attention import RelPosAttention, RelPositionTable
from espnet2_taste.nn.segments import length_mask
from espnet2_taste.nn.stream_memory import StreamMemory


@dataclass
class RelPosCache:
    """State of batched incremental encoding.

    Attributes:
        kv: past keys and values.
        positions: per layer (H, capacity, head_size), the projected distances
            capacity-1, ..., 0, so that no step projects them again.
        padding: (B,) int64 left padding of each item, or None if nobody has any.
    """

    kv: KVCache
    positions: list[torch.Tensor]
    padding: torch.Tensor | None = None


class FeedForward(torch.nn.Module):
    """w_2(dropout(activation(w_1 x)))."""

    def __init__(self, size: int, ffn_size: int, activation, dropout: float):
        super().__init__()
        self.w_1 = torch.nn.Linear(size, ffn_size)
        self.w_2 = torch.nn.Linear(ffn_size, size)
        self.activation = activation
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.w_2(self.dropout(self.activation(self.w_1(x))))


class RelPosBlock(torch.nn.Module):
    """x += drop(SA(LN x)); x += drop(FFN(LN x)).

    Args:
        size: width.
        num_heads: attention heads.
        ffn_size: feed-forward width.
        dropout: of hidden units and residual branches.
        attention_dropout: of the attention weights.
        kind: see :class:`RelPosEncoder`; norms are called otherwise in each.
    """

    def __init__(
        self,
        size: int,
        num_heads: int,
        ffn_size: int,
        dropout: float,
        attention_dropout: float,
        kind: str,
    ):
        super().__init__()
        conformer = kind == "conformer"
        self.norm_names = ("norm_mha", "norm_ff") if conformer else ("norm1", "norm2")
        activation = F.silu if conformer else F.relu
        self.self_attn = RelPosAttention(size, num_heads, attention_dropout)
        self.feed_forward = FeedForward(size, ffn_size, activation, dropout)
        for name in self.norm_names:
            self.add_module(name, torch.nn.LayerNorm(size))
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, *of_attention) -> torch.Tensor:
        """(B, S, size) -> (B, S, size); ``of_attention`` of
        :meth:`RelPosAttention.forward`."""
        norm1, norm2 = self.norm_names
        attended = self.self_attn(getattr(self, norm1)(x), *of_attention)
        x = x + self.dropout(attended)
        return x + self.dropout(self.feed_forward(getattr(self, norm2)(x)))


class RelPosEncoder(torch.nn.Module):
    """Input layer, pre-norm blocks, final norm.

    Args:
        input_size: width of the input.
        size: width of the blocks and of the result.
        num_heads: attention heads.
        ffn_size: feed-forward width.
        num_blocks: blocks.
        dropout: of input, positions, hidden units and residual branches.
        kind: "conformer" (Swish; CosyVoice's Conformer without convolution) or
            "transformer" (ReLU, also after the input layer).
        causal: positions see no later ones; False: they see the whole item.
        attention_dropout: of the attention weights.
    """

    recomputes = False  # see :func:`~espnet2_taste.nn.recompute.recompute_blocks`

    def __init__(
        self,
        input_size: int,
        size: int,
        num_heads: int,
        ffn_size: int,
        num_blocks: int,
        dropout: float,
        kind: str,
        causal: bool = True,
        attention_dropout: float = 0.0,
    ):
        super().__init__()
        self.size = size
        self.causal = causal
        self.num_heads = num_heads
        conformer = kind == "conformer"
        self.table = RelPositionTable(size)
        self.dropout = torch.nn.Dropout(dropout)

        def entry(input_size: int) -> torch.nn.ModuleDict:
            layers = [torch.nn.Linear(input_size, size), torch.nn.LayerNorm(size)]
            layers += [torch.nn.Dropout(dropout)] + [torch.nn.ReLU()] * (not conformer)
            return torch.nn.ModuleDict({"out": torch.nn.Sequential(*layers)})

        def block() -> torch.nn.Module:
            return RelPosBlock(
                size, num_heads, ffn_size, dropout, attention_dropout, kind
            )

        self._make_layers(entry, block, input_size, num_blocks)
        self.after_norm = torch.nn.LayerNorm(size)

    def _make_layers(
        self,
        entry: Callable[[int], torch.nn.ModuleDict],
        block: Callable[[], torch.nn.Module],
        input_size: int,
        num_blocks: int,
    ) -> None:
        """``embed`` and ``encoders``; subclasses add theirs."""
        self.embed = entry(input_size)
        self.encoders = torch.nn.ModuleList(block() for _ in range(num_blocks))

    def new_cache(
        self, capacity: int, padding: torch.Tensor, like: torch.Tensor
    ) -> RelPosCache:
        """State for B left-padded sequences of at most ``capacity`` positions.

        Args:
            capacity: positions with padding; bounds the table, not what is allocated
                for keys and values.
            padding: (B,) int64 left padding of each item.
            like: a tensor whose dtype and device to take.
        """
        shape = len(self.encoders), len(padding), self.num_heads
        return RelPosCache(
            KVCache(*shape, self.size // self.num_heads, like),
            self.distances(capacity, like),
            padding if bool(padding.any()) else None,
        )

    def new_ragged_cache(
        self, batch_size: int, like: torch.Tensor, capacity: int, fixed: bool = False
    ) -> RelPosCache:
        """State for B sequences that go on at different times, of at most ``capacity``
        positions; ``fixed`` as of RaggedKVCache."""
        shape = len(self.encoders), batch_size, self.num_heads
        size, options = self.size // self.num_heads, {"fixed": fixed}
        if fixed:
            options["capacity"] = capacity
        kv = RaggedKVCache(*shape, size, like, **options)
        return RelPosCache(kv, self.distances(capacity, like))

    def distances(self, capacity: int, like: torch.Tensor) -> list[torch.Tensor]:
        """Per layer (H, capacity, head_size), the projected distances capacity - 1 ...
        0, see :class:`RelPosCache`."""
        table = self.table(capacity, like)
        return [block.self_attn.project_positions(table) for block in self.encoders]

    def forward(
        self,
        x: torch.Tensor,
        cache: RelPosCache | None = None,
        lengths: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Encode S positions, after those in the cache if there is one.

        Args:
            x: (B, S, input_size), right-padded without a cache, left-padded with.
            cache: updated in place; S must be 1 unless it is empty, and always 1 where
                it is ragged (then :meth:`RaggedKVCache.advance` it). Causal only.
            lengths: (B,) int64, at least 1; where not causal, padding is not seen.
                None: there is none.

        Returns:
            (B, S, size); padded positions hold nothing of use.
        """
        length = x.size(1)
        total = length + (cache.kv.length if cache else 0)
        if length not in (1, total):
            raise ValueError("a filled cache takes one position at a time")
        x = self.enter(self.embed, x)
        if self.causal:
            hidden = self._hidden(length, total, cache, x.device)
        elif lengths is None:
            hidden = None
        else:
            hidden = ~length_mask(lengths, length)[:, None, None]
        if cache is None:
            x = self.run(self.encoders, x, self.positions(self.encoders, x), hidden)
        else:
            positions = [rows[:, -total:] for rows in cache.positions]
            late = None
            if isinstance(cache.kv, RaggedKVCache):
                late, hidden = total - 1 - cache.kv.lengths, ~cache.kv.mask()
            x = self.run(self.encoders, x, positions, hidden, cache.kv, late)
            cache.kv.moved(length)
        return self.after_norm(x)

    def enter(self, embed: torch.nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
        """An input layer: (B, S, input_size) -> (B, S, size)."""
        return self.dropout(embed["out"](x) * math.sqrt(self.size))

    def positions(
        self, blocks: torch.nn.ModuleList, x: torch.Tensor
    ) -> list[torch.Tensor]:
        """All distances of (B, T, size), projected for each block."""
        table = self.dropout(self.table(x.size(1), x, self.causal))
        return [block.self_attn.project_positions(table) for block in blocks]

    def run(
        self,
        blocks: torch.nn.ModuleList,
        x: torch.Tensor,
        positions: list[torch.Tensor],
        hidden: torch.Tensor | None,
        kv: KVCache | StreamMemory | None = None,
        late: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Blocks on (B, S, size), see :meth:`RelPosAttention.forward`."""
        for index, (block, rows) in enumerate(zip(blocks, positions, strict=True)):
            x = through(self, block, x, rows, hidden, kv, index, late)
        return x

    @staticmethod
    def _hidden(
        length: int, total: int, cache: RelPosCache | None, device: torch.device
    ) -> torch.Tensor | None:
        """Keys that a query must not see: the future and left padding."""
        position = torch.arange(total, device=device)
        future = position > position[-length:, None] if length > 1 else None
        if cache is None or cache.padding is None:
            return future
        padded = position < cache.padding[:, None, None, None]
        if future is None:
            return padded
        # padded queries see themselves: a row without any key would give NaN
        return (future | padded) & (position != position[:, None])
