"""What every recogniser offers: texts of recordings."""

from abc import ABC, abstractmethod

import numpy as np

_FRAME = 1600  # samples whose level is looked at when a long recording is cut


class AbsRecogniser(ABC):
    """Speech -> text; knows nothing of the models being scored.

    A constructor raises :class:`~espnet2_taste.asr.recording.Unavailable`
    when it lacks a package or weights, and leaves loading them to the first call.

    Attributes:
        on_device: batched in one process on a device, rather than one recording at a
            time in a pool of processes.
        sample_rate: Hz of the recordings it takes.
        cleaner: of ``text.normalise``: what its texts are compared after, unless told.
    """

    on_device: bool = False
    cleaner: str = "words"
    sample_rate: int = 16000

    @property
    @abstractmethod
    def identity(self) -> str:
        """Package, version, weights, settings: named in the results."""

    @abstractmethod
    def __call__(self, wavs: list[np.ndarray]) -> list[str]:
        """(N,) float32 recordings in [-1, 1] -> their texts, "" if none."""


def split_long(wav: np.ndarray, limit: int) -> list[np.ndarray]:
    """Cut a recording into pieces of at most ``limit`` samples where it is quiet.

    The cut is in the quietest 0.1 s of a piece's last third; (N,) -> [(n_i,)].
    """
    pieces = []
    while len(wav) > limit:
        tail = wav[limit - limit // 3 : limit]
        frames = tail[: len(tail) // _FRAME * _FRAME].reshape(-1, _FRAME)
        quiet = int(np.argmin(np.square(frames).sum(1))) if len(frames) else 0
        cut = limit - limit // 3 + quiet * _FRAME + _FRAME // 2
        pieces.append(wav[:cut])
        wav = wav[cut:]
    return [*pieces, wav]


def transcribe_pieces(wavs: list[np.ndarray], limit: int, transcribe) -> list[str]:
    """Texts of recordings of any length, by a model that hears ``limit`` samples.

    Args:
        wavs: (N,) recordings.
        limit: samples.
        transcribe: list of P pieces -> P texts.
    """
    pieces = [split_long(wav, limit) for wav in wavs]
    texts = iter(transcribe([piece for parts in pieces for piece in parts]))
    return [" ".join(next(texts).strip() for _ in parts).strip() for parts in pieces]
