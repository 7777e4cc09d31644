"""Pairs of words of a recording and its original, and how alike they are said.

All durations are in s. The *residual* is what the text does not explain of a word's
duration: ln duration [ln s] minus the mean ln duration of that word type over the
reference recordings scored. Types seen once there have no residual (it would be 0 by
construction) and are left out.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np

from espnet2_taste.evaluate.rows import Measures
from espnet2_taste.evaluate.statistics import Statistics


@dataclass(frozen=True)
class WordPairs:
    """N words that occur in both recordings of an utterance.

    Attributes:
        words: (N,) str. utterances: (N,) int index into ``ids``.
        *_duration: (N,) s. *_pause: (N,) s, nan after an utterance's last word.
        *_log_f0: (N,) ln F0 minus the speaker's mean, nan where unvoiced.
        ids: the matched utterances. reference_ids: all.
        failures: why others are not matched -> how many utterances.
    """

    words: np.ndarray
    utterances: np.ndarray
    reference_duration: np.ndarray
    row_duration: np.ndarray
    reference_pause: np.ndarray
    row_pause: np.ndarray
    reference_log_f0: np.ndarray
    row_log_f0: np.ndarray
    ids: list[str]
    reference_ids: list[str]
    failures: dict[str, int]

    @property
    def coverage(self) -> Statistics:
        """Share of the reference utterances that could be compared."""
        return coverage(self.ids, self.reference_ids)

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
    found = {}
    for side, measures in (("reference", reference), ("row", row)):
        for name in ("durations", "pauses", "word_log_f0"):
            parts = [getattr(measures[utt], name) for utt in ids]
            found[side, name] = np.concatenate(parts) if parts else np.zeros(0)
        levels = {utt: m.log_f0 for utt, m in measures.items()}
        means = speaker_means(levels, utt2spk)
        level = np.array([means[utt2spk[utt]] for utt in ids], np.float64)
        found[side, "word_log_f0"] -= np.repeat(level, counts)
    return WordPairs(
        words=np.array([w for utt in ids for w in reference[utt].words], dtype=str),
        utterances=np.repeat(np.arange(len(ids)), counts),
        reference_duration=found["reference", "durations"],
        row_duration=found["row", "durations"],
        reference_pause=found["reference", "pauses"],
        row_pause=found["row", "pauses"],
        reference_log_f0=found["reference", "word_log_f0"],
        row_log_f0=found["row", "word_log_f0"],
        ids=ids,
        reference_ids=list(reference),
        failures=dict(Counter(filter(None, status.values()))),
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


def pair_residuals(pairs: WordPairs) -> tuple[np.ndarray, np.ndarray]:
    """(N,) residuals of reference and row, against the reference's type means."""
    means = type_means(pairs.words, pairs.reference_duration)
    return (
        residuals(pairs.words, pairs.reference_duration, means),
        residuals(pairs.words, pairs.row_duration, means),
    )


def slowness(pairs: WordPairs) -> tuple[np.ndarray, np.ndarray]:
    """(U,) mean residual of each matched utterance, in reference and row; or nan."""
    n = len(pairs.ids)
    reference, row = pair_residuals(pairs)
    return (
        utterance_means(reference, pairs.utterances, n),
        utterance_means(row, pairs.utterances, n),
    )


def residual_correlation(pairs: WordPairs) -> Statistics:
    """Word-duration-residual correlation: are the same words stretched?

    Definition: Pearson's r over all matched words between the residuals (module text)
    of reference and row, both against the reference's type means. A system that knows
    only the text gives about 0. Unit: none, range -1 to 1, nan if undefined.
    """
    return pairs.correlation(*pair_residuals(pairs))


def rate_correlation(pairs: WordPairs) -> Statistics:
    """Speaking-rate correlation: are the same utterances fast and slow?

    Definition: an utterance's slowness is the mean residual (module text) of its words:
    how much longer than usual its words are, whatever the words. Pearson's r over
    utterances between reference and row. Words per second would mostly measure which
    words an utterance has. Unit: none, range -1 to 1, nan if undefined.
    """
    items = np.arange(len(pairs.ids))
    return Statistics.correlation(pairs.ids, *slowness(pairs), items)


def duration_consistency(pairs: WordPairs, tolerance: float = 0.025) -> Statistics:
    """Share of matched words whose duration differs by less than ``tolerance`` s.

    Definition: |d_row - d_ref| < 25 ms, as the TASTE paper (arXiv 2504.07053) counts
    it. Unit: none, range 0 to 1, nan without words. Read it with the coverage.
    """
    # Times are multiples of 10 ms: shave float noise, 30 ms must not become 24.999.
    difference = np.abs(pairs.row_duration - pairs.reference_duration).round(6)
    n = len(pairs.ids)
    hits = np.bincount(pairs.utterances, difference < tolerance, minlength=n)
    words = np.bincount(pairs.utterances, minlength=n)
    return Statistics("ratio", pairs.ids, np.stack([hits, words], axis=1))


def word_f0_correlation(pairs: WordPairs) -> Statistics:
    """Are the same words high and low as in the original?

    Definition: x_w = mean ln F0 over the voiced frames of word w (forced alignment of
    the row's own audio) minus the speaker's mean utterance ln F0 in the same row;
    Pearson's r over all matched words. Words with < 3 voiced frames in either are left
    out. Unit: none, range -1 to 1, nan if undefined. F0: WORLD.
    """
    return pairs.correlation(pairs.reference_log_f0, pairs.row_log_f0)


def pause_correlation(pairs: WordPairs) -> Statistics:
    """Are the pauses where they were, and as long?

    Definition: Pearson's r over all matched words but the last of each utterance
    between the silence [s] after the word in reference and row (0 s where the words
    run on), times by forced alignment. Unit: none, range -1 to 1, nan if undefined.
    """
    return pairs.correlation(pairs.reference_pause, pairs.row_pause)
