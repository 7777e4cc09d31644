"""A bounded queue between two threads, which either end can close."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any


class Stopped(Exception):
    """Nobody will take, or make, anything more."""


class Channel:
    """What one thread puts, another takes, in order; ``depth`` items wait at most.

    Args:
        depth: items; whoever puts one more waits until there is room.
    """

    def __init__(self, depth: int):
        self.depth = depth
        self.items: deque = deque()
        self.changed = threading.Condition()
        self.ended = False
        self.error: BaseException | None = None
        self.stopped = False
        self.watchers: list[Callable[[], None]] = []

    def put(self, item: Any) -> None:
        """Wait for room, and put.

        Raises:
            Stopped: the channel was stopped, also while waiting.
        """
        with self.changed:
            self.changed.wait_for(lambda: self.stopped or len(self.items) < self.depth)
            if self.stopped:
                raise Stopped
            self.items.append(item)
            self._tell()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing follows; whoever takes gets ``error`` after the last item."""
        with self.changed:
            self.ended, self.error = True, error
            self._tell()

    def stop(self) -> None:
        """Drop what is there; no end waits any longer."""
        with self.changed:
            self.stopped = True
            self.items.clear()
            self._tell()

    def take(self) -> Any:
        """Wait for the next item.

        Raises:
            StopIteration: there are no more.
            Stopped: the channel was stopped.
            BaseException: the one that it ended with.
        """
        with self.changed:
            self.changed.wait_for(self._is_ready)
            return self._next()

    def take_or_watch(self, tell: Callable[[], None]) -> tuple[bool, Any]:
        """The next item if there is one; else ``tell`` is called when to ask again.

        Returns:
            whether there was one, and the item; raises like :meth:`take`.
        """
        with self.changed:
            if self._is_ready():
                return True, self._next()
            self.watchers.append(tell)
            return False, None

    def __iter__(self) -> Iterator:
        return self

    __next__ = take

    def _is_ready(self) -> bool:
        return bool(self.items) or self.ended or self.stopped

    def _next(self) -> Any:
        if self.stopped:
            raise Stopped
        if self.items:
            item = self.items.popleft()
            self._tell()
            return item
        if self.error is not None:
            raise self.error
        raise StopIteration

    def _tell(self) -> None:
        self.changed.notify_all()
        watchers, self.watchers = self.watchers, []
        for tell in watchers:
            tell()
