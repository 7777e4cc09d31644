"""Keys and values of past positions in preallocated buffers."""

import torch


class KVCache:
    """A buffer each for a layer's keys and values, doubled when full.

    Nothing is concatenated or allocated in a usual step.

    Args:
        num_layers: layers that share the cache.
        batch_size: B.
        num_heads: H.
        head_size: width of one head.
        like: a tensor whose dtype and device the buffers take.
        capacity: positions allocated at first.
    """

    def __init__(
        self,
        num_layers: int,
        batch_size: int,
        num_heads: int,
        head_size: int,
        like: torch.Tensor,
        capacity: int = 256,
    ):
        shape = (batch_size, num_heads, capacity, head_size)
        self.layers = [
            (like.new_empty(shape), like.new_empty(shape)) for _ in range(num_layers)
        ]
        self.length = 0

    def append(
        self, layer: int, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store (B, H, S, head_size) after ``length``; return all keys and values.

        The caller moves ``length`` on by S once every layer has appended.

        Returns:
            two (B, H, length + S, head_size) views of the buffers.
        """
        size = key.size(2)
        end = self.length + size
        keys, values = self.layers[layer]
        if end > keys.size(2):
            keys, values = _enlarged(keys, end), _enlarged(values, end)
            self.layers[layer] = keys, values
        keys.narrow(2, self.length, size).copy_(key)
        values.narrow(2, self.length, size).copy_(value)
        return keys.narrow(2, 0, end), values.narrow(2, 0, end)


class RaggedKVCache(KVCache):
    """A cache whose items go on at different times, one position at a time.

    Every item is computed at every step; what one that rests has stored is overwritten
    by its next step.

    Attributes:
        lengths: (B,) int64 positions of each item; move them on by :meth:`advance`.
        length: at least the longest: what a step reads. It grows with each step; who
            knows the lengths sets it, so that nothing waits for the device.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for buffers in self.layers:
            for buffer in buffers:
                buffer.zero_()  # what is masked is still multiplied, by 0
        key = self.layers[0][0]
        self.lengths = torch.zeros(len(key), dtype=torch.long, device=key.device)
        self.rows = torch.arange(len(key), device=key.device)

    def append(
        self, layer: int, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store (B, H, 1, head_size) after each item's own length; see KVCache."""
        end = self.length + 1
        keys, values = self.layers[layer]
        if end > keys.size(2):
            keys, values = _enlarged(keys, end), _enlarged(values, end)
            self.layers[layer] = keys, values
        keys[self.rows, :, self.lengths] = key.squeeze(2)
        values[self.rows, :, self.lengths] = value.squeeze(2)
        return keys.narrow(2, 0, end), values.narrow(2, 0, end)

    def mask(self) -> torch.Tensor:
        """(B, 1, 1, length + 1) bool: past positions and the one of this step."""
        position = torch.arange(self.length + 1, device=self.lengths.device)
        return (position <= self.lengths[:, None])[:, None, None]

    def advance(self, going: torch.Tensor) -> None:
        """(B,) bool: the items whose position of this step stays."""
        self.lengths = self.lengths + going


def _enlarged(buffer: torch.Tensor, needed: int) -> torch.Tensor:
    """At least doubled, same content at the beginning."""
    batch, heads, capacity, head_size = buffer.shape
    larger = buffer.new_zeros(batch, heads, max(2 * capacity, needed), head_size)
    larger[:, :, :capacity] = buffer
    return larger
