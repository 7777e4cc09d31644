"""Silences of a recording, and word borders put where they are.

An aligner says which words are where, the level where exactly they begin and end
(measured in ``tests/asr/test_silences.py`` on recordings joined with noise).
"""

import numpy as np

PERIOD_S = 0.01
#: Silence is this far below the loudest frame (dB), or this little above the noise.
BELOW_PEAK_DB = 35.0
ABOVE_NOISE_DB = 8.0
#: No more than this far below the loudest frame, however loud the noise (dB).
LOUDEST_DB = 12.0
#: This part of the frames is not louder than the noise.
NOISE_SHARE = 0.05
#: Shorter silences are closures of plosives, not pauses (s).
MIN_SILENCE_S = 0.06


def frame_levels(wav: np.ndarray, sample_rate: int) -> np.ndarray:
    """(T,) level in dB relative to the loudest of the 10 ms frames."""
    hop = int(sample_rate * PERIOD_S)
    power = np.square(wav[: len(wav) // hop * hop].astype(np.float64))
    power = power.reshape(-1, hop).mean(1)
    return 10 * np.log10(power / max(power.max(initial=0), 1e-12) + 1e-12)


def find_silences(wav: np.ndarray, sample_rate: int) -> np.ndarray:
    """(P, 2) float64 start and end, s, of what is quiet; also for a frame only."""
    levels = frame_levels(wav, sample_rate)
    if not len(levels):
        return np.zeros((0, 2))
    noise = np.quantile(levels, NOISE_SHARE)
    limit = min(max(-BELOW_PEAK_DB, noise + ABOVE_NOISE_DB), -LOUDEST_DB)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], levels < limit, [0]])))
    return edges.reshape(-1, 2) * PERIOD_S


def borders_at_silences(
    starts: np.ndarray,
    ends: np.ndarray,
    inner: np.ndarray,
    wav: np.ndarray,
    sample_rate: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Move word borders to the longest silence between what is surely word.

    The silence between two words is the pause there: the first ends where it begins,
    the second starts where it ends. Likewise before the first word and after the last.
    Where there is none of ``MIN_SILENCE_S``, borders stay.

    Args:
        starts: (W,) s; ends: (W,) s.
        inner: (W, 2) s, parts of the words in which no border lies, in order.
        wav: (N,) float waveform.
        sample_rate: Hz.

    Returns:
        starts and ends, s.
    """
    starts, ends = starts.copy(), ends.copy()
    silences = find_silences(wav, sample_rate)
    first = np.concatenate([[0.0], inner[:, 1]])
    last = np.append(inner[:, 0], len(wav) / sample_rate)
    for i, (low, high) in enumerate(zip(first, last, strict=True)):
        inside = np.clip(silences, low, high)
        lengths = inside[:, 1] - inside[:, 0]
        if lengths.max(initial=0.0) < MIN_SILENCE_S - 1e-9:
            continue
        begin, end = inside[lengths.argmax()]
        if i > 0:
            ends[i - 1] = begin
        if i < len(starts):
            starts[i] = end
    return starts, ends
