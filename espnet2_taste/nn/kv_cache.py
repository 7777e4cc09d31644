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

        The caller says :meth:`moved` once every layer has appended.

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

    def filled(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Keys and values of each layer, (B, H, length, head_size)."""
        return [
            tuple(buffer.narrow(2, 0, self.length) for buffer in buffers)
            for buffers in self.layers
        ]

    def moved(self, size: int) -> None:
        """Every layer has appended ``size`` positions."""
        self.length += size


class RaggedKVCache(KVCache):
    """A cache whose items go on at different times, one position at a time.

    Every item is computed at every step; what one that rests has stored is overwritten
    by its next step. An item that is over makes room for another (:meth:`write`).

    Args:
        fixed: a step always reads ``capacity`` positions and nothing ever grows: what
            a CUDA graph, which repeats one step to the byte, asks for.

    Attributes:
        lengths: (B,) int64 positions of each item; move them on by :meth:`advance`.
        length: at least the longest: what a step reads. It grows with each step; who
            knows the lengths sets it, so that nothing waits for the device.
    """

    def __init__(self, *args, fixed: bool = False, **kwargs):
        super().__init__(*args, **kwargs)
        for buffers in self.layers:
            for buffer in buffers:
                buffer.zero_()  # what is masked is still multiplied, by 0
        key = self.layers[0][0]
        self.fixed = fixed
        if fixed:
            self.length = key.size(2) - 1
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

    def moved(self, size: int) -> None:
        """See KVCache."""
        self.length += 0 if self.fixed else size

    def mask(self) -> torch.Tensor:
        """(B, 1, 1, length + 1) bool: past positions and the one of this step."""
        position = torch.arange(self.length + 1, device=self.lengths.device)
        return (position <= self.lengths[:, None])[:, None, None]

    def advance(self, going: torch.Tensor) -> None:
        """(B,) bool: the items whose position of this step stays."""
        self.lengths += going

    def read_up_to(self, length: int) -> None:
        """No item has more than ``length`` positions: what the next step reads."""
        if not self.fixed:
            self.length = length
        elif length >= self.layers[0][0].size(2):
            raise ValueError(f"{length} positions in a fixed cache")

    def write(
        self,
        rows: torch.Tensor,
        prompts: list[tuple[torch.Tensor, torch.Tensor]],
        lengths: torch.Tensor,
    ) -> None:
        """Items that begin in place of those in (n,) int64 ``rows``.

        Args:
            prompts: of each layer keys and values (n, H, P, head_size), each item's
                right-aligned.
            lengths: (n,) int64 positions of each item, at most P.
        """
        self.lengths[rows] = lengths
        size = prompts[0][0].size(2)
        index = torch.arange(size, device=lengths.device) + (size - lengths)[:, None]
        index = index.clamp(max=size - 1)[:, None, :, None]
        for layer, (buffers, new) in enumerate(zip(self.layers, prompts, strict=True)):
            if size > buffers[0].size(2):
                buffers = tuple(_enlarged(buffer, size) for buffer in buffers)
                self.layers[layer] = buffers
            for buffer, prompt in zip(buffers, new, strict=True):
                order = index.expand(-1, prompt.size(1), -1, prompt.size(3))
                buffer[rows, :, :size] = prompt.gather(2, order)

    def keep(self, rows: torch.Tensor) -> None:
        """From now on item i is what ``rows[i]`` was, of (n,) int64 ``rows``."""
        self.layers = [(keys[rows], values[rows]) for keys, values in self.layers]
        self.lengths = self.lengths[rows]
        self.rows = torch.arange(len(rows), device=rows.device)


def _enlarged(buffer: torch.Tensor, needed: int) -> torch.Tensor:
    """At least doubled, same content at the beginning."""
    batch, heads, capacity, head_size = buffer.shape
    larger = buffer.new_zeros(batch, heads, max(2 * capacity, needed), head_size)
    larger[:, :, :capacity] = buffer
    return larger
