"""What every recogniser offers: texts of recordings."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from espnet2_taste.asr.transcript import Transcript, join_transcripts

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
        rough: it hears so badly that its errors compare systems, and only with itself.
    """

    on_device: bool = False
    cleaner: str = "words"
    sample_rate: int = 16000
    rough: bool = False

    @property
    @abstractmethod
    def identity(self) -> str:
        """Package, version, weights, settings: named in the results."""

    @abstractmethod
    def transcribe(self, wavs: list[np.ndarray]) -> list[Transcript]:
        """(N,) float32 recordings in [-1, 1] -> their transcripts."""

    def __call__(self, wavs: list[np.ndarray]) -> list[str]:
        """(N,) float32 recordings in [-1, 1] -> their texts, "" if none."""
        return [transcript.text for transcript in self.transcribe(wavs)]


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


def transcribe_pieces(
    wavs: list[np.ndarray],
    limit: int,
    transcribe: Callable[[list[np.ndarray], list[str | None]], list[Transcript]],
) -> list[Transcript]:
    """Transcripts of recordings of any length, by a model that hears ``limit`` samples.

    First all first pieces, then the others in batches of as many; these are told the
    language of the first.

    Args:
        wavs: (N,) recordings.
        limit: samples.
        transcribe: P pieces and the language of each, if it is known -> transcripts.
    """
    if not wavs:
        return []
    pieces = [split_long(wav, limit) for wav in wavs]
    first = transcribe([parts[0] for parts in pieces], [None] * len(wavs))
    found = [[heard] for heard in first]
    left = [(i, piece) for i, parts in enumerate(pieces) for piece in parts[1:]]
    for start in range(0, len(left), len(wavs)):
        some = left[start : start + len(wavs)]
        languages = [first[i].language for i, _ in some]
        heard = transcribe([piece for _, piece in some], languages)
        for (i, _), transcript in zip(some, heard, strict=True):
            found[i].append(transcript)
    return [join_transcripts(parts) for parts in found]
