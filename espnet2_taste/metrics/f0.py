"""Pitch agreement: F0 through WORLD, in natural log or semitones."""

import numpy as np

from espnet2_taste.metrics.correlation import pearson
from espnet2_taste.metrics.matching import UtterancePairs, WordPairs

SEMITONES_PER_LN = 12.0 / np.log(2.0)
MIN_VOICED_FRAMES = 3


def mean_log_f0(f0: np.ndarray) -> float:
    """Mean ln F0 [ln Hz] over the voiced (F0 > 0) frames of (F,) Hz; nan if < 3."""
    voiced = f0[f0 > 0]
    if len(voiced) < MIN_VOICED_FRAMES:
        return float("nan")
    return float(np.log(voiced).mean())


def word_log_f0(
    f0: np.ndarray, frame_period: float, starts: np.ndarray, durations: np.ndarray
) -> np.ndarray:
    """Mean ln F0 in each of W words: (F,) Hz, s per frame, (W,) s, (W,) s -> (W,).

    nan for a word with fewer than three voiced frames.
    """
    first = np.round(starts / frame_period).astype(int)
    last = np.round((starts + durations) / frame_period).astype(int)
    return np.array(
        [mean_log_f0(f0[a:b]) for a, b in zip(first, last, strict=True)], np.float64
    )


def utterance_f0_correlation(pairs: UtterancePairs) -> float:
    """Does an utterance sit as high or low in its speaker's range as the original?

    Definition: x_u = mean ln F0 over the voiced frames of utterance u minus the mean of
    that value over the same speaker's utterances in the same row; Pearson's r over
    utterances between reference and row. Speakers with a single utterance are left
    out. Unit: none, range -1 to 1, nan if undefined. F0: WORLD (Morise et al. 2016).
    """
    return pearson(pairs.reference_log_f0, pairs.row_log_f0)


def word_f0_correlation(pairs: WordPairs) -> float:
    """Are the same words high and low as in the original?

    Definition: x_w = mean ln F0 over the voiced frames of word w (forced alignment of
    the row's own audio) minus the speaker's mean utterance ln F0 in the same row;
    Pearson's r over all matched words. Words with < 3 voiced frames in either are left
    out. Unit: none, range -1 to 1, nan if undefined. F0: WORLD.
    """
    return pearson(pairs.reference_log_f0, pairs.row_log_f0)


def f0_rmse_semitones(
    references: list[np.ndarray],
    rows: list[np.ndarray],
    frame_period: float,
    tolerance: float = 0.1,
) -> float:
    """Root mean square F0 difference of recordings that run in step.

    Definition: sqrt(mean (12 log2(F0_row / F0_ref))^2) over all frames voiced in both,
    frames paired by time. Unit: semitones. Range: >= 0; nan if any utterance differs
    from its original in length by more than ``tolerance`` s (then frames of equal time
    are not the same sound, as for every row but copy-synthesis) or nothing is voiced.

    Args:
        references, rows: (F,) F0 contours in Hz, 0 where unvoiced, paired by index.
        frame_period: s per frame.
    """
    differences = []
    for reference, row in zip(references, rows, strict=True):
        if abs(len(reference) - len(row)) * frame_period > tolerance + 1e-9:
            return float("nan")
        n = min(len(reference), len(row))
        both = (reference[:n] > 0) & (row[:n] > 0)
        differences.append(np.log(row[:n][both] / reference[:n][both]))
    values = np.concatenate(differences) if differences else np.zeros(0)
    if not len(values):
        return float("nan")
    return float(SEMITONES_PER_LN * np.sqrt(np.mean(values**2)))
