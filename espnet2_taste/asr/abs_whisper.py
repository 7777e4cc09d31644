"""What Whispers have in common, whichever package runs them."""

from collections.abc import Sequence

from espnet2_taste.asr.abs_recogniser import AbsRecogniser
from espnet2_taste.asr.transcript import Fallback


class AbsWhisper(AbsRecogniser):
    """A recogniser that tries again where a transcript is not to be believed.

    Args:
        temperature, compression_ratio_threshold, logprob_threshold,
            no_speech_threshold: see :class:`~espnet2_taste.asr.transcript.Fallback`.

    Attributes:
        language: code; None: each recording's own.
    """

    on_device = True
    language: str | None

    def __init__(
        self,
        temperature: float | Sequence[float] = Fallback.temperature,
        compression_ratio_threshold: float
        | None = Fallback.compression_ratio_threshold,
        logprob_threshold: float | None = Fallback.logprob_threshold,
        no_speech_threshold: float | None = Fallback.no_speech_threshold,
    ):
        self.fallback = Fallback(
            temperature,
            compression_ratio_threshold,
            logprob_threshold,
            no_speech_threshold,
        )

    @property
    def cleaner(self) -> str:
        """Whisper's own normaliser of its language."""
        return "whisper_en" if self.language == "en" else "whisper_basic"
