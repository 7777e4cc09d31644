"""The one thread that owns the models, and the queues of work it takes from.

A route puts a :class:`Job` into the queue of its kind and awaits it; the thread takes
what waits, computes it as a batch and sets the result in the loop. A job whose
route was cancelled (the client has gone, it took too long) is left out of the next
batch, and leaves a running batch before its next steps.
"""

import asyncio
import logging
import math
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import torch

from espnet2_taste.serve.errors import Refused


class Job:
    """One piece of work that a coroutine awaits.

    Args:
        given: what is to be done.
    """

    def __init__(self, given: Any):
        self.given = given
        self.born = time.monotonic()
        self.loop = asyncio.get_running_loop()
        self.future = self.loop.create_future()

    @property
    def dropped(self) -> bool:
        """Whether nobody awaits it any more."""
        return self.future.cancelled()

    def tell(self, result: Any = None, error: Exception | None = None) -> None:
        """Set the result, or what went wrong, from another thread."""
        with suppress(RuntimeError):  # the loop was closed
            self.loop.call_soon_threadsafe(self._set, result, error)

    def _set(self, result: Any, error: Exception | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


class Kind(ABC):
    """A queue of one kind of work; ``step`` runs in the thread of the models."""

    def __init__(self):
        self.waiting: deque[Job] = deque()

    def put(self, job: Job) -> None:
        """Let a job wait."""
        self.waiting.append(job)

    def take(self, most: int) -> list[Job]:
        """Up to so many of those that wait; who is not wanted any more is forgotten."""
        jobs = []
        for _ in range(len(self.waiting)):
            job = self.waiting.popleft()
            if len(jobs) < most and not job.dropped:
                jobs.append(job)
            elif not job.dropped:
                self.waiting.append(job)
        return jobs

    def delay(self) -> float:
        """Seconds until there is something to do; infinite: until a job comes."""
        return 0.0 if self.waiting else math.inf

    @abstractmethod
    def step(self) -> None:
        """Do a batch, or some steps of what is at work."""

    def close(self) -> None:
        """Nothing more will be done: whoever waits is told."""
        self.refuse(*self.waiting)

    @staticmethod
    def refuse(*jobs: "Job") -> None:
        """They will not be done."""
        for job in jobs:
            job.tell(error=Refused(503, "the server stops"))


class Worker:
    """Args:
        load: makes the models, in the thread that will use them.
        kinds: the models -> queues by name.

    Attributes:
        ready: whether requests can be answered.
        error: why the models could not be loaded.
        models: what ``load`` made.
    """

    def __init__(self, load: Callable[[], Any], kinds: Callable[[Any], dict]):
        self._load, self._make = load, kinds
        self.changed = threading.Condition()
        self.kinds: dict[str, Kind] = {}
        self.models: Any = None
        self.ready, self.stopping = False, False
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name="models", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        """End the thread after the step at work; wait for it, unless it still loads."""
        self.stopping = True
        self.wake()
        if self.ready:
            self.thread.join()

    def wake(self) -> None:
        """There is news for the thread."""
        with self.changed:
            self.changed.notify_all()

    def put(self, kind: str, job: Any) -> None:
        """Let a job wait in the queue of its kind."""
        with self.changed:
            self.kinds[kind].put(job)
            self.changed.notify_all()

    async def do(self, kind: str, given: Any) -> Any:
        """The result of some work. Cancel this, and it is not done."""
        job = Job(given)
        self.put(kind, job)
        try:
            return await job.future
        finally:
            self.wake()

    def _run(self) -> None:
        try:
            self.models = self._load()
            self.kinds = self._make(self.models)
        except BaseException as error:
            self.error = error
            return
        with torch.inference_mode(), self.models.packed():
            self.ready = True
            while self._wait():
                for name, kind in self.kinds.items():
                    try:
                        if not kind.delay():
                            kind.step()
                    except Exception:  # of one kind: the others go on
                        logging.exception("%s", name)
            for kind in self.kinds.values():
                kind.close()

    def _wait(self) -> bool:
        """Wait for work; whether to go on."""
        with self.changed:
            delay = min(kind.delay() for kind in self.kinds.values())
            if delay and not self.stopping:
                self.changed.wait(None if delay == math.inf else delay)
        return not self.stopping


def attempts(
    work: Callable[[list], list], jobs: list[Job]
) -> Iterator[tuple[Job, Any]]:
    """Job and result of work on a batch; where it fails, each alone.

    So one bad item costs the others nothing. A job that fails is told why.
    """
    try:
        results = work([job.given for job in jobs])
    except Exception as error:
        if len(jobs) == 1:
            jobs[0].tell(error=error)
            return
        for job in jobs:
            yield from attempts(work, [job])
        return
    yield from zip(jobs, results, strict=True)
