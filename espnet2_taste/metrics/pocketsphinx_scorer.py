"""Recognition and word times that owe nothing to the models being scored."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet2_taste.extras import import_extra
from espnet2_taste.metrics.audio import to_pcm16

FRAME_SHIFT = 0.01  # s, pocketsphinx's analysis frames
MIN_SAMPLES = 1600  # 0.1 s: below this there is nothing to recognise
NOISE_FLOOR_DB = -30.0  # relative to the utterance's level
_SEARCH = "scoring"


class AlignmentError(RuntimeError):
    """The words could not be aligned to the audio; the message says why."""


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


def add_noise_floor(wav: np.ndarray) -> np.ndarray:
    """(N,) audio -> the same with white noise 30 dB below its RMS, always the same.

    The acoustic model was trained on recordings. Synthetic speech has digital silence,
    which upsets its feature normalisation: of 64 clean espeak-ng utterances 5 were not
    recognised at all and 14 not aligned, with the noise none.
    """
    noise = np.random.default_rng(0).standard_normal(len(wav), dtype=np.float32)
    rms = max(float(np.sqrt(np.mean(wav**2))), 1e-4)
    return wav + noise * (rms * 10 ** (NOISE_FLOOR_DB / 20))


class PocketsphinxScorer:
    """pocketsphinx with its packaged US English model, default beams.

    One instance per process. Every utterance is decoded from the same state (feature
    normalisation is reset), so results depend neither on order nor on sharding.

    Args:
        grammar: JSGF file the recogniser is confined to. Use a sentence grammar: a
            loop over words hangs. Without one, the packaged trigram LM is used.
    """

    def __init__(self, grammar: str | Path | None = None):
        Decoder = import_extra("pocketsphinx", "scoring").Decoder

        if grammar is None:
            self.decoder = Decoder(loglevel="FATAL")
            self.search = self.decoder.current_search()
            return
        text = Path(grammar).read_text(encoding="utf-8")
        self.decoder = Decoder(loglevel="FATAL", lm=None)
        try:
            self.decoder.add_jsgf_string(_SEARCH, text)
            self.decoder.activate_search(_SEARCH)
        except (ValueError, RuntimeError, KeyError) as error:
            raise ValueError(
                f"{grammar}: pocketsphinx refuses this grammar ({error}); check its "
                "syntax and that its words are in pocketsphinx's cmudict"
            ) from None
        self.search = _SEARCH

    def _decode(self, wav: np.ndarray) -> None:
        self.decoder.reinit_feat()
        self.decoder.start_utt()
        self.decoder.process_raw(to_pcm16(add_noise_floor(wav)), full_utt=True)
        self.decoder.end_utt()

    def recognise(self, wav: np.ndarray) -> str:
        """(N,) 16 kHz audio -> recognised words, "" when there are none."""
        if len(wav) < MIN_SAMPLES:
            return ""
        self.decoder.activate_search(self.search)
        self._decode(wav)
        hypothesis = self.decoder.hyp()
        return hypothesis.hypstr if hypothesis is not None else ""

    def align(self, wav: np.ndarray, words: list[str]) -> WordTimes:
        """Forced alignment (``set_align_text``) of W known words to 16 kHz audio.

        Raises:
            AlignmentError: no words, a word without pronunciation, audio too short for
                the words, or no path through the audio.
        """
        if not words:
            raise AlignmentError("no words")
        if len(wav) < MIN_SAMPLES:
            raise AlignmentError("no audio")
        unknown = [w for w in words if self.decoder.lookup_word(w) is None]
        if unknown:
            raise AlignmentError(f"no pronunciation for '{unknown[0]}'")
        try:
            self.decoder.set_align_text(" ".join(words))
            self._decode(wav)
        except RuntimeError:
            raise AlignmentError("not alignable") from None
        if self.decoder.hyp() is None:
            raise AlignmentError("not alignable")
        segments = [
            (segment.word, segment.start_frame, segment.end_frame + 1)
            for segment in self.decoder.seg()
            if segment.word[0] not in "<[+"
        ]
        # A second pronunciation is written "word(2)".
        if [word.split("(")[0] for word, _, _ in segments] != words:
            raise AlignmentError("not alignable")
        start, end = np.array([s[1:] for s in segments], np.float64).T * FRAME_SHIFT
        pauses = np.append(start[1:] - end[:-1], np.nan)
        return WordTimes(start, end - start, pauses)
