"""Where utterances that are too long are cut: between words, or where it is quiet."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from espnet2_taste.io.ctm import TimedWord

_FRAME_S = 0.1  # seconds whose level is compared
#: Part of the limit around an even division in which a cut is looked for.
_WINDOW = 1 / 6


@dataclass(frozen=True)
class Piece:
    """A part of an utterance.

    Attributes:
        start, end: seconds from the utterance's beginning.
        words: said in it, timed from the piece's beginning; None: not known.
        text: of it; None: not known.
    """

    start: float
    end: float
    words: list[TimedWord] | None = None
    text: str | None = None


def piece_id(utt: str, piece: Piece) -> str:
    """``<utt>-<start>-<end>`` in ms with leading zeros: sorted in order of time."""
    return f"{utt}-{round(1000 * piece.start):08d}-{round(1000 * piece.end):08d}"


def split_by_words(
    words: list[TimedWord], text: str, seconds: float, limit: float
) -> list[Piece]:
    """Cut in the longest pause between words near an even division.

    Args:
        words: of the utterance, in its order.
        text: of the utterance; its words, if they are as many, are the pieces' (they
            have case and punctuation), else those of ``words`` are.
        seconds: its length.
        limit: seconds that a piece has at most.

    Raises:
        ValueError: there is no word, or none ends where a piece must.
    """
    if not words:
        raise ValueError("no word has a time")
    pauses = [
        ((before.end + after.start) / 2, after.start - before.end)
        for before, after in zip(words, words[1:], strict=False)
    ]

    def choose(start: float, low: float, high: float) -> float:
        allowed = [p for p in pauses if start < p[0] <= start + limit - 0.001]
        near = [p for p in allowed if low <= p[0] <= high]
        if near:
            return max(near, key=lambda pause: pause[1])[0]
        if not allowed:
            raise ValueError(f"no word ends within {limit:g} s")
        return min(allowed, key=lambda pause: abs(pause[0] - (low + high) / 2))[0]

    spoken = text.split()
    if len(spoken) != len(words):
        spoken = [word.word for word in words]
    pieces = []
    for start, end in _spans(seconds, limit, choose):
        last = end == seconds
        inside = [
            i
            for i, word in enumerate(words)
            if start <= (word.start + word.end) / 2 < end
            or (last and (word.start + word.end) / 2 >= end)
        ]
        timed = [
            words[i]._replace(start=max(0.0, words[i].start - start)) for i in inside
        ]
        said = " ".join(spoken[i] for i in inside)
        pieces.append(Piece(start, end, timed, said))
    return pieces


def split_by_pauses(wav: np.ndarray, rate: int, limit: float) -> list[Piece]:
    """Cut in the quietest 0.1 s near an even division.

    Args:
        wav: (N,) samples.
        rate: Hz.
        limit: seconds that a piece has at most.
    """
    frame = max(1, round(_FRAME_S * rate))
    frames = wav[: len(wav) // frame * frame].reshape(-1, frame)
    levels = np.square(frames, dtype=np.float64).sum(1)

    def choose(start: float, low: float, high: float) -> float:
        first = math.ceil(low * rate / frame)
        some = levels[first : max(first + 1, math.floor(high * rate / frame))]
        return (first + int(np.argmin(some)) + 0.5) * frame / rate

    return [Piece(*span) for span in _spans(len(wav) / rate, limit, choose)]


def _spans(
    seconds: float, limit: float, choose: Callable[[float, float, float], float]
) -> list[tuple[float, float]]:
    """Times of the pieces, the cuts in whole ms."""
    spans, start = [], 0.0
    while seconds - start > limit:
        count = math.ceil((seconds - start) / limit)
        even = start + (seconds - start) / count
        # No more pieces than there must be: the others may be full.
        low = max(even - limit * _WINDOW, seconds - (count - 1) * limit)
        high = min(even + limit * _WINDOW, start + limit)
        cut = round(choose(start, low, high), 3)
        spans.append((start, cut))
        start = cut
    return [*spans, (start, seconds)]
