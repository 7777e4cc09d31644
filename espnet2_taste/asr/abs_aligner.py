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
        starts: (W,) float64, s, increasing.
        ends: (W,) float64, s, without the pause that may follow.
        total: s, of the utterance; nan where silence after its last word is no pause.
    """

    starts: np.ndarray
    ends: np.ndarray
    total: float = np.nan

    @property
    def borders(self) -> np.ndarray:
        """(W + 1,) float64, s, where words start, and the utterance ends."""
        return np.append(self.starts, self.total)

    @property
    def durations(self) -> np.ndarray:
        """(W,) float64, s, of the words."""
        return self.ends - self.starts

    @property
    def pauses(self) -> np.ndarray:
        """(W,) float64, s, silence after each word."""
        return self.borders[1:] - self.ends


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
