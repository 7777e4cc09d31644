"""Agreement of word durations and speaking rate.

Word times come from a forced alignment of each recording (see ``aligner``), never from
a model under test. A *residual* is what the text does not explain of a word's
duration: ln duration [ln s] minus the mean ln duration of that word type over the
reference recordings scored. Types seen once there have no residual (it would be 0 by
construction) and are left out.
"""

import numpy as np

from espnet2_taste.evaluate.matching import WordPairs
from espnet2_taste.evaluate.statistics import Statistics


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


def residual_correlation(pairs: WordPairs) -> Statistics:
    """Word-duration-residual correlation: are the same words stretched?

    Definition: Pearson's r over all matched words between the residuals (module text)
    of reference and row, both against the reference's type means. A system that knows
    only the text gives about 0. Unit: none, range -1 to 1, nan if undefined.
    """
    return Statistics.correlation(pairs.ids, *pair_residuals(pairs), pairs.utterances)


def slowness(pairs: WordPairs) -> tuple[np.ndarray, np.ndarray]:
    """(U,) mean residual of each matched utterance, in reference and row; or nan."""
    reference, row = pair_residuals(pairs)
    n = len(pairs.ids)
    return (
        utterance_means(reference, pairs.utterances, n),
        utterance_means(row, pairs.utterances, n),
    )


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
    it. Unit: none, range 0 to 1, nan without words. Read it with ``pairs.coverage``.
    """
    # Times are multiples of 10 ms: shave float noise, 30 ms must not become 24.999.
    difference = np.abs(pairs.row_duration - pairs.reference_duration).round(6)
    n = len(pairs.ids)
    hits = np.bincount(pairs.utterances, difference < tolerance, minlength=n)
    words = np.bincount(pairs.utterances, minlength=n)
    return Statistics("ratio", pairs.ids, np.stack([hits, words], axis=1))
