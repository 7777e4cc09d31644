"""Processes that end with the one that started them, however that ends."""

import ctypes
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have Linux end this process when its parent has ended; elsewhere do nothing."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    except (AttributeError, OSError, TypeError):  # another system
        pass
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():  # it ended before this was asked
        os._exit(1)


def process_pool(nj: int, context: str | None = None) -> ProcessPoolExecutor:
    """A pool of ``nj`` processes, none of which outlives this one.

    Args:
        nj: how many.
        context: how they are started: ``fork``, ``spawn`` ...; None: the usual way.
    """
    return ProcessPoolExecutor(
        nj, multiprocessing.get_context(context), initializer=end_with_parent
    )


def map_in_order(
    pool: ProcessPoolExecutor, work: Callable, items: Iterable, ahead: int
) -> Iterator:
    """Results of ``work`` on each item; so many are read and worked on ahead of it."""
    waiting: deque = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
