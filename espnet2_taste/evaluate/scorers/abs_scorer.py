"""What every scorer offers: recordings -> per-utterance sums, and its columns."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from espnet2_taste.asr.recording import Recording, Unavailable
from espnet2_taste.evaluate.column import Column
from espnet2_taste.evaluate.rows import Row
from espnet2_taste.evaluate.statistics import Statistics

__all__ = ["AbsScorer", "Column", "Recording", "Row", "Statistics", "Unavailable"]


class AbsScorer(ABC):
    """Measures recordings and says what a row's measurements amount to.

    Results depend on nothing but the recording, its words and its reference. A
    constructor raises :class:`Unavailable` when it lacks a package or weights, and
    leaves loading them to the first call: it also runs when nothing is to be measured.

    Attributes:
        name: short; of the folder with its measurements.
        columns: the metrics it may give.
        needs_reference: measures ``entry`` against ``reference``; {} is the result
            where the reference does not allow that.
        needs_words: results depend on ``words``.
        on_device: batched in this process on a device, rather than one recording at a
            time in a pool of processes.
        batch_size: at once on the device; None: as many as the user says.
        rough: its numbers compare rows; other people's are not to be put beside them.
        warning: what makes its numbers doubtful, if :meth:`score` found something.
    """

    name: str
    columns: tuple[Column, ...]
    needs_reference: bool = False
    needs_words: bool = False
    on_device: bool = False
    batch_size: int | None = None
    rough: bool = False
    warning: str = ""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Package, version, weights: named in the results, part of each mark."""

    @abstractmethod
    def __call__(self, recordings: list[Recording]) -> list[dict]:
        """Measure.

        Returns:
            per recording what :meth:`score` makes metrics of, JSON-ready; usually
            metric key -> its (K,) share of the sums (see ``statistics.KINDS``). A
            recording that cannot be measured lacks the key (logged with its id);
            nothing is raised for one bad recording.
        """

    def score(self, row: Row, original: Row) -> dict[str, Statistics]:
        """Metrics of a row; adds what could not be measured to ``row.failures``.

        Args:
            row: with what this scorer measured, and those before it.
            original: that of the reference recordings.
        """
        found, scores = row.measured.get(self.name, {}), {}
        for column in self.columns:
            sums = {u: e[column.key] for u, e in found.items() if _has(e, column.key)}
            if sums:
                values = list(sums.values())
                scores[column.key] = Statistics(column.kind, list(sums), values)
        keys = [column.key for column in self.columns]
        empty = [u for u, e in found.items() if not any(_has(e, key) for key in keys)]
        failed = sum(row.measures[utt].seconds > 0 for utt in empty)
        # None of a continuation: its words are others than those to compare with.
        if failed and (scores or row.table == "reconstruction"):
            row.failures[f"({self.name} failed)"] = failed
        return scores

    def upper_bounds(self, original: Row, conditioned_by: str) -> dict[str, str]:
        """Metric -> why its values are better than an independent scorer's.

        Args:
            original: the reference recordings.
            conditioned_by: ``type=model`` of the speaker encoder whose embeddings the
                scored systems speak from; "": not known.
        """
        return {}

    def described(self, rows: list[Row]) -> dict[str, str]:
        """What else the results say of how it works, beside its identity."""
        return {}

    def shown(self, table: str) -> list[Column]:
        """Its columns of a table."""
        return [column for column in self.columns if column.table in ("", table)]


class AbsReader(AbsScorer):
    """A scorer that measures nothing: other programs left its numbers with the row."""

    identity = ""

    def __call__(self, recordings: list[Recording]) -> list[dict]:
        return []

    def score(self, row: Row, original: Row) -> dict[str, Statistics]:
        return self.read(row, original) if self.shown(row.table) else {}

    @abstractmethod
    def read(self, row: Row, original: Row) -> dict[str, Statistics]:
        """Metrics of a row of a table that shows them; {} where its folder has none."""


def _has(entry: dict, key: str) -> bool:
    """Whether there are numbers; one that is none would undo all the others."""
    sums = np.array(entry.get(key, np.nan), np.float64)  # null is nan
    return bool(np.isfinite(sums).all())


def moments(x: np.ndarray, y: np.ndarray) -> list[float]:
    """Sums of a ``pearson`` of pairs (x, y), (N,) each, about their means."""
    if not len(x):
        return [0.0] * 6
    x, y = x - x.mean(), y - y.mean()
    return [float(len(x)), 0.0, 0.0, *(float(s) for s in (x @ x, y @ y, x @ y))]


def loaded(make: Callable, what: str):
    """What ``make`` opens, or why it cannot be opened, as :class:`Unavailable`."""
    try:
        return make()
    except (OSError, RuntimeError, ImportError, TypeError, ValueError, KeyError) as e:
        reason = " ".join(str(e).split())[:200]
        raise Unavailable(f"{what}: {reason}") from None
