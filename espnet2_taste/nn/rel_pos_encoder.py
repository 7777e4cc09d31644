"""Encoders with Transformer-XL relative positions, as CosyVoice 1 has them.

Shared by the speech decoder and the `cosyvoice` vocoder; names of parameters are those
of the published checkpoints. The speech decoder's masks are causal (the reference's
static_chunk_size is 1), therefore only distances >= 0 are computed, half of its table,
and right padding needs no mask. The vocoder's encoder sees its whole input: all
distances, and a mask of the padding.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from espnet2_taste.nn.kv_cache import KVCache, RaggedKVCache
from espnet2_taste.nn.recompute import through
from espnet2_taste.nn.segments import length_mask
from espnet2_taste.nn.stream_memory import StreamMemory


class RelPositionTable(torch.nn.Module):
    """Sinusoids of the distances T-1, ..., 0; computed once, grown when needed.

    Args:
        size: width, even.
    """

    def __init__(self, size: int):
        super().__init__()
        self.size = size
        self.register_buffer("table", torch.empty(0, size), persistent=False)

    def forward(
        self, length: int, like: torch.Tensor, causal: bool = True
    ) -> torch.Tensor:
        """Rows of the distances length-1, ..., 0 (not causal: ..., -(length-1)).

        Returns:
            (length or 2 length - 1, size), dtype and device of ``like``.
        """
        if length > len(self.table):
            capacity = max(512, 1 << (length - 1).bit_length())
            # inference tensors would break a later training step
            with torch.inference_mode(False):
                even = torch.arange(0, self.size, 2, device=like.device).float()
                speed = torch.exp(even * (-math.log(10000.0) / self.size))
                distance = torch.arange(capacity, device=like.device).float()
                angle = distance[:, None] * speed
                self.table = torch.stack([angle.sin(), angle.cos()], -1).flatten(1)
        rows = self.table[:length].flip(0)
        if not causal:
            # sin(-a) = -sin(a), cos(-a) = cos(a)
            sines, cosines = self.table[1:length].unflatten(1, (-1, 2)).unbind(-1)
            rows = torch.cat([rows, torch.stack([-sines, cosines], -1).flatten(1)])
        return rows.to(like.dtype)


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


class RelPosAttention(torch.nn.Module):
    """s_ij = [(q_i + u) . k_j + (q_i + v) . W_p p_(i-j)] / sqrt(head size).

    Args:
        size: width.
        num_heads: H.
        dropout: of the attention weights.
    """

    def __init__(self, size: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if size % num_heads:
            raise ValueError(f"size {size} is not a multiple of {num_heads} heads")
        self.num_heads = num_heads
        self.dropout = dropout
        self.scale = (size // num_heads) ** -0.5
        for name in ("linear_q", "linear_k", "linear_v", "linear_out"):
            self.add_module(name, torch.nn.Linear(size, size))
        self.linear_pos = torch.nn.Linear(size, size, bias=False)
        for name in ("pos_bias_u", "pos_bias_v"):
            bias = torch.nn.Parameter(torch.empty(num_heads, size // num_heads))
            self.register_parameter(name, torch.nn.init.xavier_uniform_(bias))

    def project_positions(self, positions: torch.Tensor) -> torch.Tensor:
        """(T, size) -> (H, T, head_size)."""
        heads = self.linear_pos(positions).unflatten(-1, (self.num_heads, -1))
        return heads.transpose(0, 1)

    def forward(
        self,
        x: torch.Tensor,
        positions: torch.Tensor,
        hidden: torch.Tensor | None,
        kv: KVCache | StreamMemory | None,
        index: int,
        late: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend from S new positions, the last of T, to T keys.

        Args:
            x: (B, S, size).
            positions: (H, T or T + S - 1, head_size), projected distances T-1, ..., 0
                (only if later keys are hidden), or T-1, ..., -(S-1).
            hidden: bool, broadcasts to (B, H, S, T), True where a key is not seen.
            kv: past keys and values, appended to.
            index: of this layer in ``kv``.
            late: (B,) int64, how many keys less than T an item has; None: none.
        """
        heads = (*x.shape[:2], self.num_heads, -1)
        query, key, value = (
            linear(x).view(heads).transpose(1, 2)
            for linear in (self.linear_q, self.linear_k, self.linear_v)
        )
        if kv is not None:
            key, value = kv.append(index, key, value)
        # one product per head for the whole batch: positions are the same for all
        by_distance = (query + self.pos_bias_v[:, None]) * self.scale
        by_distance = by_distance.transpose(0, 1).flatten(1, 2)
        bias = (by_distance @ positions.transpose(1, 2)).unflatten(1, x.shape[:2])
        bias = bias.transpose(0, 1)
        bias = _shift(bias, key.size(2), late)
        if hidden is not None:
            bias = bias.masked_fill(hidden, -torch.inf)
        out = F.scaled_dot_product_attention(
            query + self.pos_bias_u[:, None],
            key,
            value,
            attn_mask=bias,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.linear_out(out.transpose(1, 2).flatten(2))


def _shift(
    by_distance: torch.Tensor, num_keys: int, late: torch.Tensor | None = None
) -> torch.Tensor:
    """Columns of distance -> columns of keys: (B, H, S, D) -> (B, H, S, T).

    With the D = T distances T-1, ..., 0, valid for keys j <= i; with the T + S - 1
    distances T-1, ..., -(S-1) for all keys.
    """
    batch, heads, length, distances = by_distance.shape
    if late is not None:
        row = torch.arange(length - 1, -1, -1, device=late.device)[:, None]
        column = row + torch.arange(num_keys, device=late.device)
        column = (column + late[:, None, None]).clamp(max=distances - 1)
        return by_distance.gather(3, column[:, None].expand(-1, heads, -1, -1))
    if length == 1:
        return by_distance
    padded = F.pad(by_distance, (1, 0)).reshape(batch, heads, distances + 1, length)
    return padded[:, :, 1:].reshape(by_distance.shape)[..., :num_keys]


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
        self.norm_names = ("norm_mha", "norm_ff") if conformer else ("norm1", "norm2")
        self.table = RelPositionTable(size)
        self.dropout = torch.nn.Dropout(dropout)

        def entry(input_size: int) -> torch.nn.ModuleDict:
            layers = [torch.nn.Linear(input_size, size), torch.nn.LayerNorm(size)]
            layers += [torch.nn.Dropout(dropout)] + [torch.nn.ReLU()] * (not conformer)
            return torch.nn.ModuleDict({"out": torch.nn.Sequential(*layers)})

        def block() -> torch.nn.Module:
            activation = F.silu if conformer else F.relu
            made = torch.nn.Module()
            made.self_attn = RelPosAttention(size, num_heads, attention_dropout)
            made.feed_forward = FeedForward(size, ffn_size, activation, dropout)
            for name in self.norm_names:
                made.add_module(name, torch.nn.LayerNorm(size))
            return made

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
            x = through(self, self._block, block, x, rows, hidden, kv, index, late)
        return x

    def _block(self, block, x, rows, hidden, kv, index, late) -> torch.Tensor:
        norm1, norm2 = (getattr(block, name) for name in self.norm_names)
        attended = block.self_attn(norm1(x), rows, hidden, kv, index, late)
        x = x + self.dropout(attended)
        return x + self.dropout(block.feed_forward(norm2(x)))

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
