"""What training learns of word times: units and prosody of each word."""

import numpy as np

from espnet2_taste.asr.abs_aligner import WordTimes
from espnet2_taste.asr.silences import PERIOD_S


def unit_durations(borders: np.ndarray, num_units: int) -> np.ndarray:
    """Units per word, each at least 1, summing to ``num_units``.

    Leading silence belongs to the first word, a pause to the word before it.

    Args:
        borders: (W + 1,) increasing: where words start, and the utterance ends; in s or
            whatever else.
        num_units: of the utterance.

    Returns:
        (W,) int32.

    Raises:
        ValueError: fewer units than words.
    """
    count = len(borders) - 1
    if num_units < count:
        raise ValueError(f"{num_units} units cannot cover {count} words")
    rate = num_units / borders[-1]
    bounds = np.round(borders[1:-1] * rate).astype(np.int64)
    bounds = np.concatenate([[0], bounds, [num_units]])
    index = np.arange(count + 1)
    # Push boundaries apart from the left, then from the right: every word keeps a unit.
    bounds[1:-1] = np.maximum.accumulate(bounds - index)[1:-1] + index[1:-1]
    limit = num_units - (count - index)
    return np.diff(np.minimum(bounds, limit)).astype(np.int32)


def word_prosody(
    times: WordTimes, f0: np.ndarray, f0_period: float
) -> tuple[np.ndarray, np.ndarray]:
    """Word prosody targets.

    Args:
        times: of the words.
        f0: (T,) Hz, 0 where unvoiced.
        f0_period: seconds per frame.

    Returns:
        (W, 3) float32: mean log-F0 of the word (ln Hz; the utterance's mean where the
        word has no voiced frame, 0 where the utterance has none), log duration without
        pause (ln s), pause after the word (s); and (2,): sum of voiced log-F0 and count
        of voiced frames, to subtract the speaker's mean later.
    """
    position = (np.arange(len(f0)) * f0_period)[:, None]
    voiced = f0 > 0
    log_f0 = np.log(np.where(voiced, f0, 1.0))
    inside = (position >= times.starts) & (position < times.ends) & voiced[:, None]
    total = np.array([log_f0.sum(), voiced.sum()])
    mean = total[0] / max(total[1], 1)
    counts = inside.sum(0)
    word_f0 = np.where(
        counts > 0, (inside * log_f0[:, None]).sum(0) / np.maximum(counts, 1), mean
    )
    spoken = np.log(np.maximum(times.ends - times.starts, PERIOD_S))
    prosody = np.stack([word_f0, spoken, times.pauses], axis=1)
    return prosody.astype(np.float32), total
