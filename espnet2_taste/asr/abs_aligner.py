"""What every aligner offers: when the words of a recording are said."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from espnet2_taste.asr.recording import Recording


class AlignmentError(RuntimeError):
    """The words could not be aligned to the audio; the message says why.

    What it says of one utterance only is in brackets: failures are counted without.
    """


@dataclass(frozen=True)
class WordTimes:
    """Word times of one utterance: W words.

    Attributes:
        starts: (W,) float64, s.
        durations: (W,) float64, s, without the pause after the word.
        pauses: (W,) float64, s, silence between a word and the next; nan after the
            last word, where silence is no pause.
    """

    starts: np.ndarray
    durations: np.ndarray
    pauses: np.ndarray

    @classmethod
    def between(cls, starts: np.ndarray, ends: np.ndarray) -> "WordTimes":
        """From (W,) starts and ends in s, W > 0."""
        starts, ends = np.asarray(starts, np.float64), np.asarray(ends, np.float64)
        return cls(starts, ends - starts, np.append(starts[1:] - ends[:-1], np.nan))


class AbsAligner(ABC):
    """Recordings and their words -> word times; knows nothing of the models scored.

    A constructor raises :class:`~espnet2_taste.asr.recording.Unavailable`
    when it lacks a package or weights, and leaves loading them to the first call.

    Attributes:
        on_device: batched in one process on a device, rather than one recording at a
            time in a pool of processes.
    """

    on_device: bool = False

    @property
    @abstractmethod
    def identity(self) -> str:
        """Package, version, weights: named in the results."""

    @abstractmethod
    def __call__(
        self, recordings: list[Recording], wavs: list[np.ndarray]
    ) -> list[WordTimes | AlignmentError]:
        """Align the words of each recording.

        Args:
            recordings: with at least one word each.
            wavs: (N,) float32 audio of 16 kHz of each, N > 0.

        Returns:
            word times, or the error that says why there are none.
        """
