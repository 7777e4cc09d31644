"""Sorting more lines than fit into memory."""

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

#: Lines that are sorted in memory.
RUN = 200_000


def sorted_lines(lines: Iterable[str], run: int = RUN) -> Iterator[str]:
    """The lines (without their ends) by code points, as LC_ALL=C sorts UTF-8.

    Of more than ``run`` lines, sorted parts wait in temporary files (``$TMPDIR``).
    """
    with ExitStack() as files:
        parts, waiting = [], []
        for line in lines:
            waiting.append(line)
            if len(waiting) >= run:
                part = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n")
                files.enter_context(part)
                part.writelines(f"{each}\n" for each in sorted(waiting))
                part.seek(0)
                parts.append(each.removesuffix("\n") for each in part)
                waiting = []
        yield from heapq.merge(*parts, sorted(waiting))
