"""`pocketsphinx` recogniser: small, quick, needs no download."""

import hashlib
from pathlib import Path

import numpy as np

from espnet2_taste.asr.abs_recogniser import AbsRecogniser
from espnet2_taste.asr.pocketsphinx_files import MIN_SAMPLES, Pocketsphinx
from espnet2_taste.asr.transcript import Transcript


class PocketsphinxRecogniser(AbsRecogniser):
    """pocketsphinx with its packaged US English acoustic model.

    Args:
        grammar: JSGF file it is confined to. Use a sentence grammar: a loop over words
            hangs. Without one, the packaged trigram LM is used.
    """

    def __init__(self, grammar: str | Path = ""):
        self.grammar = grammar
        self.sphinx = Pocketsphinx(grammar, language_model=not grammar)
        self.rough = not grammar

    @property
    def identity(self) -> str:
        using = "its trigram LM"
        if self.grammar:
            digest = hashlib.sha1(self.sphinx.text.encode()).hexdigest()[:8]
            using = f"Viterbi path in {Path(self.grammar).name} ({digest})"
        return f"pocketsphinx {self.sphinx.version}, {using}"

    def transcribe(self, wavs: list[np.ndarray]) -> list[Transcript]:
        return [Transcript.of(self._recognise(wav)) for wav in wavs]

    def _recognise(self, wav: np.ndarray) -> str:
        decoder = self.sphinx.decoder
        if len(wav) < MIN_SAMPLES:
            return ""
        self.sphinx.decode(wav)
        hypothesis = decoder.hyp()
        return hypothesis.hypstr if hypothesis is not None else ""
