"""What layers remember of streams, so that no step computes the past again.

For networks whose masks and convolutions are causal by chunks: a position sees its own
chunk and everything before it. Whole chunks go through the network once; keys, values
and the last frames before each convolution stay in a :class:`StreamMemory`.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace

import torch

FIRST_CAPACITY = 256  # positions


def seen_mask(
    size: int,
    total: int,
    chunk: int | None,
    ends: torch.Tensor,
    starts: torch.Tensor | int = 0,
    left: int | None = None,
) -> torch.Tensor:
    """Which keys the queries of chunk-causal attention see.

    Args:
        size: S queries, at the positions ``starts`` and after.
        total: T keys, from position 0.
        chunk: positions of a chunk; None: everything is one chunk.
        ends: (B,) int64, positions of each item; padding is not seen.
        starts: (B, 1) int64, multiples of ``chunk``.
        left: chunks before the own one that are seen; None: all.

    Returns:
        (B, 1, S, T) bool, True where a key is seen; if any is, by padding, too.
    """
    limit = ends[:, None]
    if chunk is not None:
        query = torch.arange(size, device=ends.device)
        limit = torch.minimum(starts + (query // chunk + 1) * chunk, limit)
    key = torch.arange(total, device=ends.device)
    seen = key < limit[..., None]
    if chunk is not None and left is not None:
        first = starts + (query // chunk - left) * chunk
        # padding sees something, too
        seen = seen & (key >= torch.minimum(first, limit - 1)[..., None])
    return seen.expand(-1, size, -1)[:, None]


@dataclass(frozen=True)
class Step:
    """The next S positions of some of the streams of a memory.

    Attributes:
        rows: these streams, ascending.
        starts: positions that each has had: whole chunks.
        ends: positions that each will have had; beyond them is padding.
        size: S.
        chunk: positions of a chunk.
        left: chunks before the own one that are seen; None: all.
    """

    rows: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    size: int
    chunk: int
    left: int | None = None

    @property
    def total(self) -> int:
        """T, keys of the stream that has most."""
        return max(self.starts) + self.size

    @property
    def even(self) -> bool:
        """Whether all streams have had as much."""
        return len(set(self.starts)) == 1

    def forgetful(self) -> "Step":
        """The same step, counted from the first position that is still seen."""
        if self.left is None:
            return self
        most = self.left * self.chunk
        starts = tuple(min(start, most) for start in self.starts)
        ends = tuple(
            end - old + new
            for old, new, end in zip(self.starts, starts, self.ends, strict=True)
        )
        return replace(self, starts=starts, ends=ends)

    def scaled(self, rate: int) -> "Step":
        """The same step where each position has become ``rate``."""

        def times(values: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(rate * value for value in values)

        starts, ends = times(self.starts), times(self.ends)
        return replace(
            self,
            starts=starts,
            ends=ends,
            size=rate * self.size,
            chunk=rate * self.chunk,
        )

    def twice(self, count: int) -> "Step":
        """The same step of 2 ``count`` streams, the second half as the first."""
        return replace(
            self,
            rows=self.rows + tuple(count + row for row in self.rows),
            starts=2 * self.starts,
            ends=2 * self.ends,
        )

    def seen(self, device: torch.device) -> torch.Tensor | None:
        """:func:`seen_mask`; None: every query sees every key."""
        if self.size <= self.chunk and set(self.ends) == {self.total}:
            return None
        ends = torch.tensor(self.ends, device=device)
        starts = torch.tensor(self.starts, device=device)[:, None]
        sizes = (self.size, self.total, self.chunk)
        return seen_mask(*sizes, ends, starts, self.left)

    def late(self, device: torch.device) -> torch.Tensor | None:
        """(b,) int64, how many keys less than T each stream has; None: none."""
        if self.even:
            return None
        missing = [self.total - self.size - start for start in self.starts]
        return torch.tensor(missing, device=device)


class StreamMemory:
    """Of B streams, each at its own position, at one rate of positions.

    Args:
        count: B.

    Attributes:
        step: what is being computed.
    """

    def __init__(self, count: int):
        self.count = count
        self.step: Step | None = None
        self._filled = [0] * count  # positions in the buffers
        self._shifts: list[tuple[int, int]] = []  # rows of the step, positions
        self._index: dict[str, torch.Tensor] = {}  # of the step, on the device
        self._tails: dict[Hashable, torch.Tensor] = {}
        self._pairs: dict[Hashable, tuple[torch.Tensor, torch.Tensor]] = {}

    def begin(self, step: Step) -> None:
        """Tell what the layers compute next; positions no longer seen are dropped."""
        self.step, self._index = step, {}
        filled = [self._filled[row] for row in step.rows]
        pairs = zip(step.rows, filled, step.starts, strict=True)
        self._shifts = [(row, full - start) for row, full, start in pairs]
        for row, start in zip(step.rows, step.starts, strict=True):
            self._filled[row] = start + step.size

    def after(self, layer: Hashable, x: torch.Tensor, size: int) -> torch.Tensor:
        """(b, C, S) with the ``size`` frames before it, zeros before the first."""
        tail = self._tails.get(layer)
        if tail is None:
            tail = x.new_zeros(self.count, x.size(1), size)
        rows = self._rows(x.device)
        joined = torch.cat([tail if rows is None else tail[rows], x], -1)
        last = joined[..., -size:]
        self._tails[layer] = (
            last.clone() if rows is None else tail.index_copy(0, rows, last)
        )
        return joined

    def append(
        self, layer: Hashable, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store (b, H, S, head size) and return what each stream has by now.

        Returns:
            two (b, H, T, head size), of no meaning after a stream's own end.
        """
        total, rows = self.step.total, self._rows(key.device)
        pair = self._pairs.get(layer)
        if pair is None or pair[0].size(2) < total:
            capacity = max(FIRST_CAPACITY, 1 << (total - 1).bit_length())
            pair = tuple(
                self._room(new, pair, i, capacity) for i, new in enumerate((key, value))
            )
            self._pairs[layer] = pair
        self._drop(pair)
        if rows is None and self.step.even:
            for buffer, new in zip(pair, (key, value), strict=True):
                buffer.narrow(2, self.step.starts[0], self.step.size).copy_(new)
            return tuple(buffer.narrow(2, 0, total) for buffer in pair)
        index = self._on_device("rows", key.device)
        place = self._on_device("starts", key.device)[:, None]
        place = place + torch.arange(self.step.size, device=key.device)
        for buffer, new in zip(pair, (key, value), strict=True):
            buffer[index[:, None], :, place] = new.transpose(1, 2)
        return tuple(buffer[index, :, :total] for buffer in pair)

    def _drop(self, pair: tuple[torch.Tensor, torch.Tensor]) -> None:
        """Move what is still seen to the front."""
        if not any(shift for _, shift in self._shifts):
            return
        even = len({shift for _, shift in self._shifts}) == 1 and self.step.even
        even &= len(self._shifts) == self.count
        shifts = [(slice(None), self._shifts[0][1])] if even else self._shifts
        starts = self.step.starts
        for (row, shift), start in zip(shifts, starts[: len(shifts)], strict=True):
            for buffer in pair:
                kept = buffer[row, ..., shift : shift + start, :].clone()
                buffer[row, ..., :start, :] = kept

    def _room(self, new, pair, index: int, capacity: int) -> torch.Tensor:
        """A buffer with what the old one has; zeros, as NaN times 0 is none."""
        shape = (self.count, new.size(1), capacity, new.size(3))
        buffer = new.new_zeros(shape)
        if pair is not None:
            buffer[:, :, : pair[index].size(2)] = pair[index]
        return buffer

    def _rows(self, device: torch.device) -> torch.Tensor | None:
        """Rows of the step; None: all."""
        if len(self.step.rows) == self.count:
            return None
        return self._on_device("rows", device)

    def _on_device(self, name: str, device: torch.device) -> torch.Tensor:
        """``rows`` or ``starts`` of the step, uploaded once for all layers."""
        if name not in self._index:
            self._index[name] = torch.tensor(getattr(self.step, name), device=device)
        return self._index[name]


class CausalConv(torch.nn.Conv1d):
    """A convolution of stride 1 that sees no later frames.

    Args:
        in_size, size: channels.
        kernel_size: its frame and so many less one before it.
    """

    def __init__(self, in_size: int, size: int, kernel_size: int):
        super().__init__(in_size, size, kernel_size)

    def forward(
        self, x: torch.Tensor, past: StreamMemory | None = None
    ) -> torch.Tensor:
        """(B, in_size, S) -> (B, size, S), after what ``past`` remembers."""
        before = self.kernel_size[0] - 1
        if past is None:
            x = torch.nn.functional.pad(x, (before, 0))
        else:
            x = past.after(self, x, before)
        return super().forward(x)
