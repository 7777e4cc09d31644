"""`ctm` aligner: word times that another program wrote."""

import hashlib
from collections import defaultdict
from pathlib import Path

import numpy as np

from espnet2_taste.metrics.aligner.abs_aligner import (
    AbsAligner,
    AlignmentError,
    WordTimes,
)
from espnet2_taste.metrics.meter.abs_meter import Recording
from espnet2_taste.metrics.words import normalise_words

FILE = "words.ctm"


class CtmAligner(AbsAligner):
    """Reads ``utt channel start duration word [...]`` lines (NIST's CTM).

    Any aligner will do (MFA, NeMo, Kaldi ...), the same one for all rows.

    Args:
        path: of the file; without one no utterance has word times.

    Raises:
        ValueError: a line that is none of a CTM.
    """

    def __init__(self, path: str | Path):
        path = Path(path)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        self.digest = hashlib.sha1(text.encode()).hexdigest()[:8]
        self.lines: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith(";;"):
                continue
            try:
                utt, _, start, duration, word = line.split()[:5]
                entry = float(start), float(start) + float(duration), word
            except ValueError:
                raise ValueError(
                    f"{path}:{number}: expected 'utt channel start duration word'"
                ) from None
            self.lines[utt].append(entry)

    @property
    def identity(self) -> str:
        return f"{FILE} ({self.digest})"

    def __call__(
        self, recordings: list[Recording], wavs: list[np.ndarray]
    ) -> list[WordTimes | AlignmentError]:
        return [self._align(recording) for recording in recordings]

    def _align(self, recording: Recording) -> WordTimes | AlignmentError:
        entries = self.lines.get(recording.utt)
        if entries is None:
            return AlignmentError(f"not in {FILE}")
        times = [(a, b, normalise_words(word)) for a, b, word in sorted(entries)]
        spoken = [entry for entry in times if entry[2]]  # no silence marks
        if [word for *_, words in spoken for word in words] != list(recording.words):
            return AlignmentError(f"other words in {FILE}")
        if any(len(words) > 1 or b <= a for a, b, words in spoken):
            return AlignmentError(f"no time for each word in {FILE}")
        return WordTimes.between(*np.array([entry[:2] for entry in spoken]).T)
