"""Which transcripts of a recogniser are not fit to be a tokenizer's text, and why.

Emilia's and other corpora's pseudo-labels were filtered likewise (He et al., "Emilia",
2024): by language, and for repetitions and speech rates that nobody has.
"""

from dataclasses import dataclass

from espnet2_taste.asr.transcript import Fallback, Transcript, find_language

_WHISPER = Fallback()
EMPTY, SILENCE, REPEATS = "nothing recognised", "no speech", "repeats itself"


@dataclass(frozen=True)
class TranscriptFilter:
    """Limits of what is kept; None: none.

    Attributes:
        language: code or name; another most probable one is not wanted. "": any.
        max_wer: against the given text, where there is one.
        min_logprob: mean log-probability of the tokens.
        max_compression_ratio: see :class:`~espnet2_taste.asr.transcript.Transcript`.
        min_rate, max_rate: characters of the text (no spaces) per second.

    Raises:
        ValueError: no such language.
    """

    language: str = ""
    max_wer: float | None = None
    min_logprob: float | None = None
    max_compression_ratio: float | None = 2.4
    min_rate: float | None = 0.5
    max_rate: float | None = 40.0

    def __post_init__(self):
        if self.language:
            from transformers.models.whisper.tokenization_whisper import LANGUAGES

            code = find_language(self.language, LANGUAGES)
            object.__setattr__(self, "language", code)

    def reason(
        self, heard: Transcript, seconds: float | None = None, wer: float | None = None
    ) -> str:
        """Why a transcript is not kept; "": it is.

        Args:
            heard: the transcript.
            seconds: of its recording; None: unknown.
            wer: against its given text; None: it has none.
        """
        if not heard.text:
            return SILENCE if _WHISPER.silent(heard) else EMPTY
        language = heard.detected or heard.language
        if self.language and language not in (None, self.language):
            return f"language {language}"
        if _above(heard.compression_ratio, self.max_compression_ratio):
            return REPEATS
        if _above(self.min_logprob, heard.avg_logprob):
            return "improbable"
        rate = len("".join(heard.text.split())) / seconds if seconds else None
        if _above(rate, self.max_rate):
            return "too many characters a second"
        if _above(self.min_rate, rate):
            return "too few characters a second"
        if _above(wer, self.max_wer):
            return f"WER above {self.max_wer:g}"
        return ""


def _above(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value > limit
