"""`pocketsphinx` aligner: forced alignment with its packaged acoustic model."""

import numpy as np

from espnet2_taste.asr.abs_aligner import (
    AbsAligner,
    AlignmentError,
    WordTimes,
)
from espnet2_taste.asr.pocketsphinx_files import MIN_SAMPLES, Pocketsphinx
from espnet2_taste.asr.recording import Recording
from espnet2_taste.asr.silences import borders_at_silences

FRAME_SHIFT = 0.01  # s, pocketsphinx's analysis frames
#: Of each word; the rest, at its begin and end, may be silence.
SURE = 0.2


class PocketsphinxAligner(AbsAligner):
    """pocketsphinx with its US English model and its dictionary (cmudict).

    Times are multiples of 10 ms; pauses begin and end where the level says, as its
    acoustic model does not know the noise of a recording.
    """

    def __init__(self):
        self.sphinx = Pocketsphinx()

    @property
    def identity(self) -> str:
        return (
            f"pocketsphinx {self.sphinx.version}, forced alignment, borders at silences"
        )

    def __call__(
        self, recordings: list[Recording], wavs: list[np.ndarray]
    ) -> list[WordTimes | AlignmentError]:
        results: list[WordTimes | AlignmentError] = []
        for recording, wav in zip(recordings, wavs, strict=True):
            try:
                results.append(self._align(wav, list(recording.words)))
            except AlignmentError as error:
                results.append(error)
        return results

    def _align(self, wav: np.ndarray, words: list[str]) -> WordTimes:
        decoder = self.sphinx.decoder
        if len(wav) < MIN_SAMPLES:
            raise AlignmentError("no audio")
        unknown = [w for w in words if decoder.lookup_word(w) is None]
        if unknown:
            raise AlignmentError(f"no pronunciation ('{unknown[0]}')")
        try:
            decoder.set_align_text(" ".join(words))
            self.sphinx.decode(wav)
        except RuntimeError:
            raise AlignmentError("not alignable") from None
        if decoder.hyp() is None:
            raise AlignmentError("not alignable")
        segments = [
            (segment.word, segment.start_frame, segment.end_frame + 1)
            for segment in decoder.seg()
            if segment.word[0] not in "<[+"
        ]
        # A second pronunciation is written "word(2)".
        if [word.split("(")[0] for word, _, _ in segments] != words:
            raise AlignmentError("not alignable")
        starts, ends = np.array([s[1:] for s in segments]).T * FRAME_SHIFT
        middle, half = (starts + ends) / 2, SURE / 2 * (ends - starts)
        inner = np.stack([middle - half, middle + half], axis=1)
        return WordTimes(*borders_at_silences(starts, ends, inner, wav, 16000))
