"""`ctm` aligner: word times that another program wrote."""

import hashlib
from pathlib import Path

import numpy as np

from espnet2_taste.asr.abs_aligner import (
    AbsAligner,
    AlignmentError,
    WordTimes,
)
from espnet2_taste.asr.recording import Recording
from espnet2_taste.io.ctm import read_ctm
from espnet2_taste.text.normalise import spaced_words

FILE = "words.ctm"


class CtmAligner(AbsAligner):
    """Reads a CTM, see :func:`~espnet2_taste.io.ctm.read_ctm`.

    Any aligner will do (MFA, NeMo, Kaldi ...), the same one for all rows.

    Args:
        path: of the file; without one no utterance has word times.

    Raises:
        ValueError: a line that is none of a CTM.
    """

    def __init__(self, path: str | Path):
        path = Path(path)
        content = path.read_bytes() if path.exists() else b""
        self.digest = hashlib.sha1(content).hexdigest()[:8]
        self.words = read_ctm(path) if content else {}

    @property
    def identity(self) -> str:
        return f"{FILE} ({self.digest})"

    def __call__(
        self, recordings: list[Recording], wavs: list[np.ndarray]
    ) -> list[WordTimes | AlignmentError]:
        return [self._align(recording) for recording in recordings]

    def _align(self, recording: Recording) -> WordTimes | AlignmentError:
        entries = self.words.get(recording.utt)
        if entries is None:
            return AlignmentError(f"not in {FILE}")
        times = [(e.start, e.end, spaced_words(e.word)) for e in sorted(entries)]
        spoken = [entry for entry in times if entry[2]]  # no silence marks
        if [word for *_, words in spoken for word in words] != list(recording.words):
            return AlignmentError(f"other words in {FILE}")
        if any(len(words) > 1 or b <= a for a, b, words in spoken):
            return AlignmentError(f"no time for each word in {FILE}")
        return WordTimes(*np.array([entry[:2] for entry in spoken]).T)
