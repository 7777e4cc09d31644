"""Keys and values of past positions in preallocated buffers."""

import torch


class KVCache:
    """One growing buffer for all layers, doubled when full: no concatenation per step.

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
        shape = (2, num_layers, batch_size, num_heads, capacity, head_size)
        self.buffer = like.new_empty(shape)
        self.length = 0

    def append(
        self, layer: int, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store (B, H, S, head_size) after ``length``; return all keys and values.

        The caller moves ``length`` on by S once every layer has appended.

        Returns:
            two (B, H, length + S, head_size) views of the buffer.
        """
        end = self.length + key.size(2)
        if end > self.buffer.size(4):
            shape = list(self.buffer.shape)
            shape[4] = max(2 * shape[4], end)
            larger = self.buffer.new_empty(shape)
            larger[..., : self.length, :] = self.buffer[..., : self.length, :]
            self.buffer = larger
        keys, values = self.buffer[0, layer], self.buffer[1, layer]
        keys[:, :, self.length : end] = key
        values[:, :, self.length : end] = value
        return keys[:, :, :end], values[:, :, :end]
