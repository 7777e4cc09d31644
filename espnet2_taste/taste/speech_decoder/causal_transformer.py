"""Pre-norm causal transformer with rotary positions and a key-value cache."""

import torch
from torch.nn import functional as F

from espnet2_taste.nn.kv_cache import KVCache, RaggedKVCache
from espnet2_taste.nn.recompute import through


class RotaryTable(torch.nn.Module):
    """cos and sin of the rotary embedding, computed once and grown when needed.

    Args:
        head_size: width of one head, even.
        base: of the geometric frequencies.
    """

    def __init__(self, head_size: int, base: float = 10000.0):
        super().__init__()
        self.head_size = head_size
        self.base = base
        for name in ("cos", "sin"):
            self.register_buffer(name, torch.empty(0, head_size // 2), persistent=False)

    def forward(
        self, start: int, end: int, like: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """cos and sin (end - start, head_size / 2) in the dtype of ``like``."""
        self._grow(end, like)
        return self.cos[start:end].to(like.dtype), self.sin[start:end].to(like.dtype)

    def at(
        self, positions: torch.Tensor, end: int, like: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """cos and sin (B, 1, 1, head_size / 2) of (B,) positions below ``end``."""
        self._grow(end, like)
        cos, sin = (table[positions, None, None] for table in (self.cos, self.sin))
        return cos.to(like.dtype), sin.to(like.dtype)

    def _grow(self, end: int, like: torch.Tensor) -> None:
        if end > len(self.cos):
            size = max(256, 1 << (end - 1).bit_length())
            # inference tensors would break a later training step
            with torch.inference_mode(False):
                half = torch.arange(0, self.head_size, 2, device=like.device).float()
                speed = self.base ** (-half / self.head_size)
                angle = torch.arange(size, device=like.device).float()[:, None] * speed
                self.cos, self.sin = angle.cos(), angle.sin()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate the halves of (..., S, head_size) by the angles (S, head_size / 2)."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class TransformerLayer(torch.nn.Module):
    """x += drop(SA(LN x)); x += drop(FFN(LN x))."""

    def __init__(self, size: int, num_heads: int, ffn_size: int, dropout: float):
        super().__init__()
        self.num_heads = num_heads
        self.norm1 = torch.nn.LayerNorm(size)
        self.qkv = torch.nn.Linear(size, 3 * size)
        self.out = torch.nn.Linear(size, size)
        self.norm2 = torch.nn.LayerNorm(size)
        self.up = torch.nn.Linear(size, ffn_size)
        self.down = torch.nn.Linear(ffn_size, size)
        # On the residual branches only: SDPA's fast CPU kernel takes no dropout.
        self.dropout = torch.nn.Dropout(dropout)

    def forward(
        self,
        x: torch.Tensor,
        rope: tuple[torch.Tensor, torch.Tensor],
        mask: torch.Tensor | None = None,
        cache: KVCache | None = None,
        index: int = 0,
    ) -> torch.Tensor:
        """(B, S, size) -> (B, S, size).

        Args:
            x: of S positions.
            rope: their cos and sin, broadcast to (B, heads, S, head_size / 2).
            mask: (B, 1, 1, S) bool, the positions that all may see; None: each sees
                itself and those to its left.
            cache: keys and values of earlier positions, extended in place.
            index: this layer's place in the cache.
        """
        batch, length, size = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, self.num_heads, -1)
        query_key, value = qkv.permute(2, 0, 3, 1, 4).split([2, 1])
        query, key = rotate(query_key, *rope)
        value = value[0]
        if cache is not None:
            key, value = cache.append(index, key, value)
        attended = F.scaled_dot_product_attention(
            query, key, value, mask, is_causal=mask is None and length > 1
        )
        attended = attended.transpose(1, 2).reshape(batch, length, size)
        x = x + self.dropout(self.out(attended))
        # squared ReLU learns faster than GELU or ReLU here, and costs less than GELU
        hidden = F.relu(self.up(self.norm2(x))).square()
        return x + self.dropout(self.down(hidden))


class TransformerStack(torch.nn.Module):
    """A stack of :class:`TransformerLayer` and a final norm.

    Args:
        size: width.
        num_layers: layers.
        num_heads: attention heads; ``size / num_heads`` must be even.
        ffn_ratio: feed-forward width over ``size``.
        dropout: of the residual branches.
    """

    recomputes = False  # see :func:`~espnet2_taste.nn.recompute.recompute_blocks`

    def __init__(
        self,
        size: int,
        num_layers: int,
        num_heads: int,
        ffn_ratio: float = 4.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        if size % (2 * num_heads):
            raise ValueError(f"size {size} is not a multiple of 2 x {num_heads} heads")
        self.size = size
        self.num_heads = num_heads
        self.head_size = size // num_heads
        self.layers = torch.nn.ModuleList(
            TransformerLayer(size, num_heads, round(ffn_ratio * size), dropout)
            for _ in range(num_layers)
        )
        self.norm = torch.nn.LayerNorm(size)
        for layer in self.layers:
            # keeps the residual stream's variance independent of the depth
            for linear in (layer.out, layer.down):
                linear.weight.data /= (2 * num_layers) ** 0.5


class CausalTransformer(TransformerStack):
    """Each position sees itself and those to its left: right padding needs no mask.

    The arguments are those of :class:`TransformerStack`.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.rotary = RotaryTable(self.head_size)

    def new_cache(self, batch_size: int, like: torch.Tensor) -> KVCache:
        """An empty cache for B sequences."""
        return KVCache(
            len(self.layers), batch_size, self.num_heads, self.head_size, like
        )

    def new_ragged_cache(
        self, batch_size: int, like: torch.Tensor, **options
    ) -> RaggedKVCache:
        """An empty cache for B sequences that go on at different times.

        Args:
            options: ``capacity`` and ``fixed``, see RaggedKVCache.
        """
        shape = len(self.layers), batch_size, self.num_heads, self.head_size
        return RaggedKVCache(*shape, like, **options)

    def forward(self, x: torch.Tensor, cache: KVCache | None = None) -> torch.Tensor:
        """Transform S positions, after those in the cache if there is one.

        Args:
            x: (B, S, size).
            cache: updated in place; S must be 1 unless it is empty, and always 1 where
                it is ragged (then :meth:`RaggedKVCache.advance` it).

        Returns:
            (B, S, size).
        """
        start = 0 if cache is None else cache.length
        end = start + x.size(1)
        ragged = isinstance(cache, RaggedKVCache)
        if (start or ragged) and x.size(1) > 1:
            raise ValueError("a filled cache takes one position at a time")
        if ragged:
            rope, mask = self.rotary.at(cache.lengths, end, x), cache.mask()
        else:
            rope, mask = self.rotary(start, end, x), None
        for index, layer in enumerate(self.layers):
            x = through(self, layer, x, rope, mask, cache, index)
        if cache is not None:
            cache.moved(x.size(1))
        return self.norm(x)
