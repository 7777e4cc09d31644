"""How work is batched: whole batches, and running batches that jobs join and leave."""

import math
import time
from collections.abc import Callable, Hashable
from typing import Any

from espnet2_taste.nn.running_batch import RunningBatch
from espnet2_taste.serve.worker import Job, Kind, attempts


class Batches(Kind):
    """What waits is computed together.

    Args:
        work: items -> their results, in that order.
        most: items of a batch.
        wait_s: that the first item waits for others.
        tell_size: gets the size of each batch.
    """

    def __init__(
        self,
        work: Callable[[list], list],
        most: int,
        wait_s: float,
        tell_size: Callable[[int], None],
    ):
        super().__init__()
        self.work, self.most, self.wait_s = work, most, wait_s
        self.tell_size = tell_size

    def delay(self) -> float:
        if not self.waiting:
            return math.inf
        if len(self.waiting) >= self.most:
            return 0.0
        return max(0.0, self.waiting[0].born + self.wait_s - time.monotonic())

    def step(self) -> None:
        if jobs := self.take(self.most):
            self.tell_size(len(jobs))
            for job, result in attempts(self.work, jobs):
                job.tell(result)


class Running(Kind):
    """Jobs join a running batch at any time and leave it when they have ended.

    Args:
        open_batch: key of an item -> an empty running batch. When it has become empty
            it is thrown away, with the memory that its longest item took.
        key: of items that can run together.
        add: running batch and items -> their tickets.
        finish: (item, what the running batch gave) pairs -> results.
        slots: items at work at once, in all running batches.
        tell_size: gets the number of items at each burst of steps.
    """

    def __init__(
        self,
        open_batch: Callable[[Any], RunningBatch],
        key: Callable[[Any], Hashable],
        add: Callable[[RunningBatch, list], list[int]],
        finish: Callable[[list], list],
        slots: int,
        tell_size: Callable[[int], None],
    ):
        super().__init__()
        self.open_batch, self.key, self.add = open_batch, key, add
        self.finish, self.slots, self.tell_size = finish, slots, tell_size
        self.running: dict[Hashable, tuple[RunningBatch, dict[int, Job]]] = {}

    @property
    def at_work(self) -> int:
        """Items."""
        return sum(len(jobs) for _, jobs in self.running.values())

    def delay(self) -> float:
        return 0.0 if self.waiting or self.running else math.inf

    def step(self) -> None:
        groups: dict[Hashable, list[Job]] = {}
        for job in self.take(self.slots - self.at_work):
            groups.setdefault(self.key(job.given), []).append(job)
        for key, group in groups.items():
            if key not in self.running:
                self.running[key] = self.open_batch(group[0].given), {}
            batch, jobs = self.running[key]
            found = attempts(lambda items, batch=batch: self.add(batch, items), group)
            jobs |= {ticket: job for job, ticket in found}
        for key in list(self.running):
            try:
                self._go_on(*self.running[key])
            except Exception as error:
                for job in self.running.pop(key)[1].values():
                    job.tell(error=error)
                raise
            if not self.running[key][1]:
                del self.running[key]

    def _go_on(self, batch: RunningBatch, jobs: dict[int, Job]) -> None:
        """A burst of steps; results of those that have ended."""
        for ticket in [ticket for ticket, job in jobs.items() if job.dropped]:
            batch.drop(ticket)
            del jobs[ticket]
        if not jobs:
            return
        self.tell_size(len(jobs))
        ended = [(jobs.pop(ticket, None), made) for ticket, made in batch.advance()]
        ended = [pair for pair in ended if pair[0]]  # not what was added in vain
        if ended:
            self._finish(ended)

    def _finish(self, ended: list[tuple[Job, Any]]) -> None:
        try:
            results = self.finish([(job.given, made) for job, made in ended])
        except Exception as error:
            for job, _ in ended:
                job.tell(error=error)
            return
        for (job, _), result in zip(ended, results, strict=True):
            job.tell(result)

    def close(self) -> None:
        super().close()
        for _, jobs in self.running.values():
            self.refuse(*jobs.values())
