"""Pairs of words of a recording and its original, and how alike they are said.

All durations are in s. The *residual* is what the text does not explain of a word's
duration: ln duration [ln s] minus the mean ln duration of that word type over the
reference recordings scored. Types seen once there have no residual (it would be 0 by
construction) and are left out. Word times are those of forced alignment to the row's
own audio; correlations are Pearson's r, -1 to 1, nan if undefined.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from espnet2_taste.evaluate.column import Column, metric
from espnet2_taste.evaluate.rows import Measures
from espnet2_taste.evaluate.statistics import Statistics


@dataclass(frozen=True)
class Said:
    """How N words are said.

    Attributes:
        durations: (N,) s. pauses: (N,) s, nan after an utterance's last word.
        log_f0: (N,) ln F0 minus the speaker's mean, nan where unvoiced.
    """

    durations: np.ndarray
    pauses: np.ndarray
    log_f0: np.ndarray

    @classmethod
    def of(
        cls, measures: dict[str, Measures], ids: list[str], utt2spk: dict[str, str]
    ) -> "Said":
        """All words of the utterances ``ids`` among those measured."""
        means = speaker_means({utt: m.log_f0 for utt, m in measures.items()}, utt2spk)
        some = [measures[utt] for utt in ids]
        levels = [means[utt2spk[utt]] for utt in ids]
        f0 = [m.word_log_f0 - level for m, level in zip(some, levels, strict=True)]
        parts = [m.durations for m in some], [m.pauses for m in some], f0
        return cls(*(np.concatenate([np.zeros(0), *part]) for part in parts))


@dataclass(frozen=True)
class WordPairs:
    """N words that occur in both recordings of an utterance.

    Attributes:
        words: (N,) str. utterances: (N,) int index into ``ids``.
        reference, row: how either says them.
        ids: the matched utterances. reference_ids: all.
        failures: why others are not matched -> how many utterances.
    """

    words: np.ndarray
    utterances: np.ndarray
    reference: Said
    row: Said
    ids: list[str]
    reference_ids: list[str]
    failures: dict[str, int]

    @property
    def coverage(self) -> Statistics:
        """Share of the reference utterances that could be compared."""
        return coverage(self.ids, self.reference_ids)

    @property
    def residuals(self) -> tuple[np.ndarray, np.ndarray]:
        """(N,) of reference and row, against the reference's type means."""
        means = type_means(self.words, self.reference.durations)
        sides = self.reference, self.row
        first, second = (residuals(self.words, s.durations, means) for s in sides)
        return first, second

    @property
    def slowness(self) -> tuple[np.ndarray, np.ndarray]:
        """(U,) mean residual of each matched utterance, in reference and row; or nan:
        how much longer than usual its words are, whatever the words."""
        n = len(self.ids)
        sides = self.residuals
        first, second = (utterance_means(side, self.utterances, n) for side in sides)
        return first, second

    def correlation(self, x: np.ndarray, y: np.ndarray) -> Statistics:
        """Pearson's r over all matched words."""
        return Statistics.correlation(self.ids, x, y, self.utterances)


def pair_words(
    reference: dict[str, Measures], row: dict[str, Measures], utt2spk: dict[str, str]
) -> WordPairs:
    """Pair all words of the utterances aligned in both; count the utterances lost."""
    status = {utt: _failure(m, row.get(utt)) for utt, m in reference.items()}
    ids = [utt for utt, reason in status.items() if not reason]
    counts = [len(reference[utt].words) for utt in ids]
    return WordPairs(
        np.array([w for utt in ids for w in reference[utt].words], dtype=str),
        np.repeat(np.arange(len(ids)), counts),
        Said.of(reference, ids, utt2spk),
        Said.of(row, ids, utt2spk),
        ids,
        list(reference),
        dict(Counter(filter(None, status.values()))),
    )


def _failure(reference: Measures, row: Measures | None) -> str:
    if row is None:
        return "missing"
    if reference.failure:
        return f"reference: {reason(reference.failure)}"
    if row.failure:
        return reason(row.failure)
    return "" if reference.words == row.words else "other words"


def reason(failure: str) -> str:
    """What failures are counted by: without the details in brackets."""
    return re.sub(r" \(.*\)$", "", failure)


def coverage(compared: list[str], everything: list[str]) -> Statistics:
    """Share of all utterances that are compared. Unit: none, range 0 to 1."""
    known = set(compared)
    return Statistics.mean({utt: float(utt in known) for utt in everything})


def speaker_means(
    log_f0: dict[str, float], utt2spk: dict[str, str], min_count: int = 1
) -> dict[str, float]:
    """Mean over a speaker's utterances of their mean ln F0; nan if < ``min_count``."""
    values = defaultdict(list)
    for utt, value in log_f0.items():
        if np.isfinite(value):
            values[utt2spk[utt]].append(value)
    means = defaultdict(lambda: float("nan"))
    means.update(
        {s: float(np.mean(v)) for s, v in values.items() if len(v) >= min_count}
    )
    return means


def f0_levels(log_f0: dict[str, float], utt2spk: dict[str, str]) -> np.ndarray:
    """(U,) ln F0 minus the speaker's mean; nan for a speaker with one utterance."""
    means = speaker_means(log_f0, utt2spk, min_count=2)
    return np.array([v - means[utt2spk[utt]] for utt, v in log_f0.items()], float)


def type_means(
    words: np.ndarray, durations: np.ndarray, min_count: int = 2
) -> dict[str, float]:
    """Mean ln duration of each word type: (N,) str, (N,) s -> {word: ln s}."""
    if not len(words):
        return {}
    types, inverse, counts = np.unique(words, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, np.log(durations)) / counts
    kept = zip(types, means, counts, strict=True)
    return {str(t): float(m) for t, m, n in kept if n >= min_count}


def residuals(
    words: np.ndarray, durations: np.ndarray, means: dict[str, float]
) -> np.ndarray:
    """(N,) ln duration minus the type's mean; nan for types without one."""
    expected = np.array([means.get(str(w), np.nan) for w in words], np.float64)
    return np.log(durations) - expected


def utterance_means(values: np.ndarray, utterances: np.ndarray, n: int) -> np.ndarray:
    """(N,) word values -> (n,) mean per utterance, nan ones left out, nan if none."""
    keep = np.isfinite(values)
    counts = np.bincount(utterances[keep], minlength=n)
    sums = np.bincount(utterances[keep], values[keep], minlength=n)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


#: function of pairs -> its column
METRICS: dict[Callable[[WordPairs], Statistics], Column] = {}
_metric = partial(metric, METRICS, group="prosody", table="reconstruction")


@_metric("Dur. < 25 ms", "share of words whose duration differs by less than 25 ms")
def duration_consistency(pairs: WordPairs) -> Statistics:
    """As the TASTE paper (arXiv 2504.07053) counts it. Range 0 to 1; read it with the
    coverage."""
    # Times are multiples of 10 ms: shave float noise, 30 ms must not become 24.999.
    difference = np.abs(pairs.row.durations - pairs.reference.durations).round(6)
    n = len(pairs.ids)
    hits = np.bincount(pairs.utterances, difference < 0.025, minlength=n)
    words = np.bincount(pairs.utterances, minlength=n)
    return Statistics("ratio", pairs.ids, np.stack([hits, words], axis=1))


@_metric(
    "Word duration",
    "correlation over words of duration residuals: ln duration minus the mean "
    "of the word type over the originals",
)
def duration_residual_corr(pairs: WordPairs) -> Statistics:
    """Are the same words stretched? Knowing only the text gives about 0."""
    return pairs.correlation(*pairs.residuals)


@_metric(
    "Speaking rate",
    "correlation over utterances of mean duration residuals: ln duration of each word "
    "minus the mean of the word type over the originals",
)
def rate_corr(pairs: WordPairs) -> Statistics:
    """Are the same utterances fast and slow? Words per second would mostly measure
    which words an utterance has."""
    items = np.arange(len(pairs.ids))
    return Statistics.correlation(pairs.ids, *pairs.slowness, items)


@_metric("Word F0", "correlation of each word's mean ln F0, speaker's mean removed")
def word_f0_corr(pairs: WordPairs) -> Statistics:
    """Are the same words high and low? Over the voiced frames (WORLD) of a word; the
    mean is that of the speaker's utterances in the same row. Words with < 3 voiced
    frames in either are left out."""
    return pairs.correlation(pairs.reference.log_f0, pairs.row.log_f0)


@_metric("Pause", "correlation of the pause after each word")
def pause_corr(pairs: WordPairs) -> Statistics:
    """Are the pauses where they were, and as long? Of all matched words but the last of
    each utterance; 0 s where the words run on."""
    return pairs.correlation(pairs.reference.pauses, pairs.row.pauses)
