"""Continuous batching: items enter a running batch and leave it, the others go on."""

import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import torch

#: Steps between two looks at the device.
LOOK = 8


class RunningBatch(ABC):
    """A queue of items, of which ``slots`` are at work at once.

    What an item gives is what it gives alone. The host looks at the device once in
    :data:`LOOK` steps, for who has ended and what was made, and at no other time; then
    those that have ended leave and those that wait take their rows.

    Args:
        slots: items at work at once, at least 1.
        fixed: always so many rows, of caches that never grow: one CUDA graph then
            repeats all steps. Without, rows that nobody needs are given up.
    """

    def __init__(self, slots: int, fixed: bool = False):
        if slots < 1:
            raise ValueError(f"slots {slots}: expected 1 or more")
        self.slots = slots
        self.fixed = fixed
        self.waiting: deque[tuple[int, Any]] = deque()
        self.tickets: list[int | None] = []  # of each row; None: nobody's
        self.queued = 0

    def queue(self, item: Any) -> int:
        """Let an item wait for its turn; gives its ticket: 0, 1, 2 ..."""
        self.waiting.append((self.queued, item))
        self.queued += 1
        return self.queued - 1

    @property
    def busy(self) -> bool:
        """Whether anybody works or waits."""
        return bool(self.waiting) or self.at_work > 0

    @property
    def at_work(self) -> int:
        """Items that are decoded together just now."""
        return sum(ticket is not None for ticket in self.tickets)

    @torch.inference_mode()
    def advance(self) -> list[tuple[int, Any]]:
        """A few steps of all at work; ticket and result of those that have ended."""
        self._admit()
        if not self.at_work:
            return []
        found = []
        for row, ended in enumerate(self.burst()):
            if ended and self.tickets[row] is not None:
                found.append((self.tickets[row], self.take(row)))
                self.tickets[row] = None
                self.rest(row)
        return found

    @torch.inference_mode()
    def drop(self, ticket: int) -> None:
        """Nobody wants an item any more: it gives up its place, its row is free."""
        self.waiting = deque(item for item in self.waiting if item[0] != ticket)
        if ticket in self.tickets:
            row = self.tickets.index(ticket)
            self.tickets[row] = None
            self.rest(row)

    def run(self) -> Iterator[tuple[int, Any]]:
        """Ticket and result of everybody, as they end."""
        while self.busy:
            yield from self.advance()

    def results(self) -> list[Any]:
        """Of everybody who has been queued since the last call, in that order."""
        return [result for _, result in sorted(self.run(), key=lambda pair: pair[0])]

    def _admit(self) -> None:
        """Those that wait take free rows."""
        rows = [row for row, ticket in enumerate(self.tickets) if ticket is not None]
        wanted = self.slots
        if not self.fixed:
            wanted = min(self.slots, len(rows) + len(self.waiting))
        have = len(self.tickets)
        if wanted > have:
            self.arrange([*range(have), *[0 if have else -1] * (wanted - have)])
            self.tickets += [None] * (wanted - have)
        elif not self.fixed and rows and wanted <= have // 2:
            self.arrange(rows)
            self.tickets = [self.tickets[row] for row in rows]
        free = [row for row, ticket in enumerate(self.tickets) if ticket is None]
        taken = list(zip(free, self.waiting, strict=False))
        for row, (ticket, _) in taken:
            self.tickets[row] = ticket
            self.waiting.popleft()
        if taken:
            self.enter([row for row, _ in taken], [item for _, (_, item) in taken])

    @abstractmethod
    def arrange(self, rows: list[int]) -> None:
        """From now on row i is what ``rows[i]`` was; -1: the first rows ever, which
        hold nobody, as do those that appear twice."""

    @abstractmethod
    def enter(self, rows: list[int], items: list[Any]) -> None:
        """Items begin in these rows, which nobody needs any more."""

    @abstractmethod
    def burst(self) -> list[bool]:
        """:data:`LOOK` steps of all rows; whether each has ended by then. Rows that are
        nobody's may do anything."""

    @abstractmethod
    def take(self, row: int) -> Any:
        """What the item in a row has made."""

    @abstractmethod
    def rest(self, row: int) -> None:
        """Until another item enters, a row goes no further and reads nothing."""


def captured(step: Callable[[], torch.Tensor], device: torch.device) -> Callable:
    """The step as one CUDA graph, so that the host launches it once.

    Args:
        step: without arguments; it reads and writes the same tensors at every call.
        device: where they are.

    Returns:
        what does the same, giving the same tensor at every call; on other devices, or
        where CUDA cannot capture it (one line says why), ``step`` itself.
    """
    if device.type != "cuda":
        logging.info("no CUDA graph on %s: steps run one by one", device)
        return step
    try:
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(3):  # what is made at first use is made outside the graph
                step()
        torch.cuda.current_stream(device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = step()
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        logging.warning("no CUDA graph: %s; steps run one by one", reason)
        return step

    def replay() -> torch.Tensor:
        graph.replay()
        return result

    return replay
