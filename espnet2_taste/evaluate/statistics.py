"""Metrics as functions of per-utterance sums: of all, of a subset, of a resampling.

A corpus metric is rarely the mean of its utterances' values (a word error rate is not),
but it is a function of sums over utterances. With those sums kept, the value, its
bootstrap interval and the paired comparison of two systems come from the same numbers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

RESAMPLES = 1000
MIN_UTTERANCES = 10  # fewer have no interval: a bootstrap of them means nothing
_CHUNK = 4_000_000  # counts held at a time


def _ratio(sums: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        value = sums[..., 0] / sums[..., 1]
    return np.where(sums[..., 1] > 0, value, np.nan)


def _rms(sums: np.ndarray) -> np.ndarray:
    return np.sqrt(_ratio(sums))


def _pearson(sums: np.ndarray) -> np.ndarray:
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread_x, spread_y = xx - x * x / n, yy - y * y / n
        value = (xy - x * y / n) / np.sqrt(spread_x * spread_y)
        # A side that is constant up to rounding: a quotient of errors is no result.
        defined = (spread_x > 1e-20 * n) & (spread_y > 1e-20 * n) & (n >= 3)
    return np.where(defined, np.clip(value, -1.0, 1.0), np.nan)


#: kind -> (columns, value of their sums): numerator and denominator; squares and
#: count; count, x, y, xx, yy and xy (Pearson's r, K. Pearson 1895).
KINDS: dict[str, tuple[int, Callable[[np.ndarray], np.ndarray]]] = {
    "ratio": (2, _ratio),
    "rms": (2, _rms),
    "pearson": (6, _pearson),
}


@dataclass(frozen=True)
class Statistics:
    """Sufficient statistics of one metric of one row.

    Attributes:
        kind: of ``KINDS``.
        ids: N utterances (or pairs, questions ...).
        sums: (N, K) float64, each one's share of the sums.
    """

    kind: str
    ids: list[str]
    sums: np.ndarray

    def __post_init__(self):
        width, _ = KINDS[self.kind]
        shape = (len(self.ids), width)
        sums = np.asarray(self.sums, np.float64).reshape(shape)
        object.__setattr__(self, "sums", sums)

    @classmethod
    def mean(cls, values: dict[str, float]) -> "Statistics":
        """Of a metric that is the mean of its utterances' values; nan is left out."""
        known = {u: float(v) for u, v in values.items() if np.isfinite(v)}
        return cls("ratio", list(known), np.array([[v, 1.0] for v in known.values()]))

    @classmethod
    def correlation(
        cls, ids: list[str], x: np.ndarray, y: np.ndarray, item: np.ndarray
    ) -> "Statistics":
        """Of Pearson's r over M pairs (x, y), each of utterance ``ids[item]``.

        Args:
            ids: N utterances.
            x, y: (M,) float; pairs with a nan in either are left out.
            item: (M,) int.
        """
        keep = np.isfinite(x) & np.isfinite(y)
        x, y, item = (np.asarray(a)[keep] for a in (x, y, item))
        if len(x):  # r is the same, and sums of squares keep their digits
            x, y = x - x.mean(), y - y.mean()
        columns = (np.ones_like(x), x, y, x * x, y * y, x * y)
        sums = [np.bincount(item, c, minlength=len(ids)) for c in columns]
        return cls("pearson", list(ids), np.stack(sums, axis=1))

    def value(self) -> float:
        """The metric over all utterances; nan where it is undefined."""
        return float(KINDS[self.kind][1](self.sums.sum(0)))

    def values(self) -> np.ndarray:
        """(N,) the metric of each utterance alone; nan where undefined."""
        return KINDS[self.kind][1](self.sums)

    @property
    def scored(self) -> list[str]:
        """Utterances that contribute: one whose sums are all 0 was not scored."""
        used = np.any(self.sums != 0, axis=1)
        return [utt for utt, u in zip(self.ids, used, strict=True) if u]

    def over(self, ids: list[str]) -> "Statistics":
        """Of these utterances in this order; one without sums contributes nothing."""
        position = {utt: i for i, utt in enumerate(self.ids)}
        empty = np.zeros((1, self.sums.shape[1]))
        index = [position.get(utt, -1) for utt in ids]
        return Statistics(self.kind, ids, np.concatenate([self.sums, empty])[index])


def resampled(
    systems: list[Statistics], resamples: int = RESAMPLES, seed: int = 0
) -> np.ndarray:
    """Bootstrap: each system's metric on the same ``resamples`` draws of utterances.

    Args:
        systems: S statistics over the same ids in the same order.

    Returns:
        (S, resamples) float64. Source: B. Efron, R. Tibshirani (1993).

    Raises:
        ValueError: the systems' ids differ.
    """
    ids = systems[0].ids
    if any(s.ids != ids for s in systems):
        raise ValueError("systems can be compared on the same utterances only")
    if not ids:
        return np.full((len(systems), resamples), np.nan)
    draws = _kept_draws if len(ids) * resamples <= _CHUNK else _draws
    parts = [
        [KINDS[s.kind][1](counts @ s.sums) for s in systems]
        for counts in draws(len(ids), resamples, seed)
    ]
    return np.concatenate(parts, axis=1)


def _draws(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """(chunk, n) how often each of n utterances is drawn, ``resamples`` rows in all."""
    rng = np.random.default_rng(seed)
    chunk = max(1, _CHUNK // n)
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        yield rng.multinomial(n, np.full(n, 1 / n), size=rows).astype(np.float64)


@lru_cache(maxsize=4)  # the metrics of a table are of the same utterances
def _kept_draws(n: int, resamples: int, seed: int) -> list[np.ndarray]:
    return list(_draws(n, resamples, seed))


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of (resamples,) bootstrap values; nan ones are left out."""
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    tail = 50 * (1 - level)
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)
