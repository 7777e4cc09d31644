"""Systems side by side: a paired bootstrap over the utterances that all of them have.

Every resample draws utterances, and all systems are evaluated on the same draw: what
makes an utterance hard for everyone cancels out of the differences. Source: M. Bisani,
H. Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation",
ICASSP 2004.
"""

import math
from dataclasses import dataclass

import numpy as np

from espnet2_taste.evaluate.statistics import (
    MIN_UTTERANCES,
    Statistics,
    interval,
    resampled,
)

RESAMPLES = 10_000
LEVEL = 0.05


@dataclass
class Compared:
    """One system on one metric, in the metric's unit; nan where undefined.

    Attributes:
        value: on the common utterances, mean over seeds.
        low, high: its 95 % bootstrap interval.
        difference: ``value`` minus that of the first system; nan for the first.
        difference_low, difference_high: 95 % interval of the paired differences.
        p: see :func:`two_sided_p`. p_holm: the same among others, see :func:`holm`.
    """

    value: float
    low: float
    high: float
    difference: float = math.nan
    difference_low: float = math.nan
    difference_high: float = math.nan
    p: float = math.nan
    p_holm: float = math.nan


@dataclass(frozen=True)
class Comparison:
    """S systems on one metric.

    Attributes:
        ids: the utterances compared: those that every system has, in at least one of
            its seeds; to a seed's value, those it has contribute.
        total: how many utterances any system has.
        left_out: (S,) how many utterances of each system are not in ``ids``.
        systems: (S,) results in the order given.
    """

    ids: list[str]
    total: int
    left_out: list[int]
    systems: list[Compared]


def compare(
    systems: list[list[Statistics]], resamples: int = RESAMPLES, seed: int = 0
) -> Comparison:
    """Compare systems, each with the statistics of its seeds, to the first of them.

    The seeds of a system are averaged inside every resample: the intervals speak of
    the mean over these seeds, and of other utterances like these. Fewer than
    ``MIN_UTTERANCES`` have neither intervals nor p.

    Raises:
        ValueError: no utterance is common to all.
    """
    scored = [{utt for s in system for utt in s.scored} for system in systems]
    common = set.intersection(*scored)
    if not common:
        raise ValueError("no utterance was scored in all systems")
    ids = sorted(common)
    parts = [[s.over(ids) for s in system] for system in systems]
    flat = [s for part in parts for s in part]
    if len(ids) >= MIN_UTTERANCES:
        draws = iter(resampled(flat, resamples, seed))
    else:
        draws = iter(np.full((len(flat), 1), np.nan))
    results: list[Compared] = []
    for part in parts:
        value = float(np.mean([s.value() for s in part]))
        drawn = np.mean([next(draws) for _ in part], axis=0)
        found = Compared(value, *interval(drawn))
        if not results:
            first, first_drawn = found, drawn
        else:
            differences = drawn - first_drawn
            found.difference = value - first.value
            found.difference_low, found.difference_high = interval(differences)
            found.p = two_sided_p(differences)
        results.append(found)
    left_out = [len(known - common) for known in scored]
    return Comparison(ids, len(set.union(*scored)), left_out, results)


def two_sided_p(differences: np.ndarray) -> float:
    """How easily chance alone gives a difference of the other sign: 0 < p <= 1.

    Twice the smaller share of (resamples,) bootstrap differences that are <= 0 or
    >= 0, the observed one counted among them (so that p is never 0; A. Davison,
    D. Hinkley, 1997). Undefined resamples are left out; nan if all are.
    """
    defined = differences[np.isfinite(differences)]
    if not len(defined):
        return math.nan
    rarer = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2 * (1 + rarer) / (len(defined) + 1))


def holm(p: list[float]) -> list[float]:
    """p values adjusted for being several, order kept; nan ones do not count.

    Rejecting those <= 0.05 keeps the chance of any false rejection among them below
    5 %, however they depend on each other. Source: S. Holm (1979).
    """
    order = sorted(
        (i for i in range(len(p)) if not math.isnan(p[i])), key=p.__getitem__
    )
    adjusted, largest = [math.nan] * len(p), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, p[i] * (len(order) - rank)))
        adjusted[i] = largest
    return adjusted
