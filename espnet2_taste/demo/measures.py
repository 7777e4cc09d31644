"""Where the words of an utterance are, how long and how high: one ruler for all sounds.

Word times come from the tokenizer's own attention, for recordings and for synthesised
speech alike, so that both are measured by the same means and no aligner is needed.
"""

from dataclasses import dataclass

import numpy as np

from espnet2_taste.asr.silences import PERIOD_S, borders_at_silences, find_silences
from espnet2_taste.evaluate.rows import Measures, mean_log_f0, word_log_f0
from espnet2_taste.units.world import f0_contour

#: Of a word's span, the part at either end in which its border may lie.
_LOOSE = 0.25
#: Attention below this share of a frame's counts as so much.
_FLOOR = 1e-3


def word_spans(attention: np.ndarray, first: int, stop: int) -> np.ndarray:
    """Frames of each word: the monotonic division that the attention likes best.

    Every frame from ``first`` to ``stop`` belongs to one word, every word has one frame
    at least (where there are enough), and the product of the shares that words have of
    their frames' attention is as large as can be (Viterbi).

    Args:
        attention: (W, F) non-negative.
        first, stop: frames in which something is said.

    Returns:
        (W, 2) int64: first frame of each word, and the one after its last.
    """
    words, frames = len(attention), attention.shape[1]
    first = max(0, min(first, frames - words))
    stop = min(frames, max(stop, first + words))
    if stop - first < words:  # fewer frames than words: side by side
        edges = np.linspace(first, stop, words + 1).round().astype(np.int64)
        return np.stack([edges[:-1], edges[1:]], 1)
    part = attention[:, first:stop].astype(np.float64)
    score = np.log(part / np.maximum(part.sum(0), 1e-12) + _FLOOR)
    best = np.full(words, -np.inf)
    best[0] = score[0, 0]
    began = np.zeros((stop - first, words), bool)  # whether the word begins there
    for t in range(1, stop - first):
        before = np.concatenate([[-np.inf], best[:-1]])
        began[t] = before > best
        best = np.maximum(best, before) + score[:, t]
    starts = np.zeros(words, np.int64)
    t = stop - first - 1
    for word in range(words - 1, 0, -1):
        while not began[t, word]:
            t -= 1
        starts[word] = t
        t -= 1
    starts += first
    return np.stack([starts, np.append(starts[1:], stop)], 1)


def measure(
    wav: np.ndarray, rate: int, words: list[str], attention: np.ndarray
) -> Measures:
    """Word times and pitch of an utterance.

    Args:
        wav: (N,) float samples.
        rate: Hz.
        words: W words of it.
        attention: (W, F) of the tokenizer to its frames, over the whole of ``wav``.
    """
    seconds = len(wav) / rate
    f0, period = f0_contour(wav, rate)
    made = Measures(list(words), seconds, f0=f0, frame_period=period)
    made.log_f0 = mean_log_f0(f0)
    if not words:
        return made
    shift = seconds / attention.shape[1]
    first, stop = (round(second / shift) for second in _spoken(wav, rate))
    starts, ends = (word_spans(attention, first, stop) * shift).T
    loose = _LOOSE * (ends - starts)
    inner = np.stack([starts + loose, ends - loose], 1)
    starts, ends = borders_at_silences(starts, ends, inner, wav, rate)
    made.starts, made.durations = starts, ends - starts
    made.word_log_f0 = word_log_f0(f0, period, made.starts, made.durations)
    return made


def _spoken(wav: np.ndarray, rate: int) -> tuple[float, float]:
    """Seconds between the silence before the first sound and after the last."""
    begin, end = 0.0, len(wav) / rate
    for start, stop in find_silences(wav, rate):
        if start == 0:
            begin = stop
        if stop > end - 2 * PERIOD_S:
            end = start
    return (begin, end) if begin < end else (0.0, len(wav) / rate)


@dataclass(frozen=True)
class Change:
    """How a word is said, against how it might have been.

    Attributes:
        longer: its duration over the other's.
        higher: semitones; nan where one of the two has no pitch.
    """

    longer: float
    higher: float


def changes(said: Measures, expected: Measures) -> list[Change]:
    """Of each word of two utterances of the same text."""
    longer = said.durations / np.maximum(expected.durations, 1e-3)
    higher = (said.word_log_f0 - expected.word_log_f0) * 12 / np.log(2)
    return [Change(float(a), float(b)) for a, b in zip(longer, higher, strict=True)]
