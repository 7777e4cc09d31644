"""A ragged cache that the language models of transformers take for their own."""

from typing import Any

import torch

from espnet2_taste.nn.kv_cache import RaggedKVCache


class RaggedHFCache:
    """:class:`RaggedKVCache` with the methods that transformers calls of a cache.

    Args:
        like: what one pass of a batch of one has left: its shapes and dtype.
        batch_size: B.
        options: ``capacity`` and ``fixed``, see RaggedKVCache.
    """

    is_compileable = False

    def __init__(self, like: Any, batch_size: int, **options):
        pairs = filled(like)
        sizes = {(k.size(1), k.size(3), v.size(3)) for k, v in pairs}
        if len(sizes) > 1 or pairs[0][0].size(3) != pairs[0][1].size(3):
            raise ValueError("layers with caches of different sizes: give no slots")
        heads, width, _ = sizes.pop()
        like = pairs[0][0]
        self.kv = RaggedKVCache(len(pairs), batch_size, heads, width, like, **options)

    def update(
        self, key: torch.Tensor, value: torch.Tensor, layer_idx: int, *_, **__
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append one position of each item; all keys and values."""
        return self.kv.append(layer_idx, key, value)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions before those of this step."""
        return self.kv.length

    def get_mask_sizes(self, query_length: Any, layer_idx: int) -> tuple[int, int]:
        """Positions with those of this step, and the first one."""
        return self.kv.length + 1, 0


def filled(cache: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Keys and values (B, H, L, head_size) of each layer of transformers' cache."""
    return [(layer.keys, layer.values) for layer in cache.layers]
