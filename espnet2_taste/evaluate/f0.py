"""Agreement of pitch levels: F0 through WORLD, in natural log."""

import numpy as np

from espnet2_taste.evaluate.matching import UtterancePairs, WordPairs
from espnet2_taste.evaluate.statistics import Statistics

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


def utterance_f0_correlation(pairs: UtterancePairs) -> Statistics:
    """Does an utterance sit as high or low in its speaker's range as the original?

    Definition: x_u = mean ln F0 over the voiced frames of utterance u minus the mean of
    that value over the same speaker's utterances in the same row; Pearson's r over
    utterances between reference and row. Speakers with a single utterance are left
    out. Unit: none, range -1 to 1, nan if undefined. F0: WORLD (Morise et al. 2016).
    """
    items = np.arange(len(pairs.ids))
    return Statistics.correlation(
        pairs.ids, pairs.reference_log_f0, pairs.row_log_f0, items
    )


def word_f0_correlation(pairs: WordPairs) -> Statistics:
    """Are the same words high and low as in the original?

    Definition: x_w = mean ln F0 over the voiced frames of word w (forced alignment of
    the row's own audio) minus the speaker's mean utterance ln F0 in the same row;
    Pearson's r over all matched words. Words with < 3 voiced frames in either are left
    out. Unit: none, range -1 to 1, nan if undefined. F0: WORLD.
    """
    return Statistics.correlation(
        pairs.ids, pairs.reference_log_f0, pairs.row_log_f0, pairs.utterances
    )
