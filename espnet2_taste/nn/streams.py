"""What arrives in pieces and leaves in pieces, several streams at once.

A *session* carries B streams from their first piece to their last. All state is the
session's: the model behind it serves other sessions at the same time.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch


class AbsStreams(ABC):
    """B streams. What each gives, over all calls, is what it gives alone.

    Args:
        count: B, at least 1.

    Attributes:
        ended: whether the last piece of each stream has come.
    """

    def __init__(self, count: int):
        if count < 1:
            raise ValueError("a session has at least one stream")
        self.count = count
        self.ended = [False] * count

    @abstractmethod
    def push(
        self, items: Sequence, last: Sequence[bool] | None = None
    ) -> list[torch.Tensor]:
        """Take what is new of each stream, give what can be told by now.

        Args:
            items: B pieces; None or an empty one where there is nothing new.
            last: whether nothing follows in a stream; default: for none of them.

        Returns:
            B tensors, possibly empty.

        Raises:
            ValueError: a piece that does not fit, or that comes after the last. No
                stream has taken anything then, and all can go on.
        """

    def finish(self) -> list[torch.Tensor]:
        """End all streams; gives what is left of each (nothing, of an ended one)."""
        return self.push([None] * self.count, [True] * self.count)

    def check_push(
        self, items: Sequence, last: Sequence[bool] | None
    ) -> tuple[list, list[bool]]:
        """Items and whether they are the last, one of each for every stream.

        Raises:
            ValueError: other numbers, or a piece after the last one.
        """
        items = list(items)
        last = [False] * self.count if last is None else [bool(flag) for flag in last]
        if len(items) != self.count or len(last) != self.count:
            raise ValueError(
                f"{len(items)} pieces and {len(last)} ends for {self.count} streams"
            )
        for row, (item, ended) in enumerate(zip(items, self.ended, strict=True)):
            if ended and item is not None and len(item):
                raise ValueError(f"stream {row} has ended: nothing more can be pushed")
        return items, last


class OneStream:
    """A session of one stream, without lists.

    Args:
        streams: the session.
    """

    def __init__(self, streams: AbsStreams):
        if streams.count != 1:
            raise ValueError(f"a session of {streams.count} streams, not of one")
        self.streams = streams

    def push(self, item: Any, last: bool = False) -> torch.Tensor:
        """See :meth:`AbsStreams.push`."""
        return self.streams.push([item], [last])[0]

    def finish(self) -> torch.Tensor:
        """See :meth:`AbsStreams.finish`."""
        return self.streams.finish()[0]
