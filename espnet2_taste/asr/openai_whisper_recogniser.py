"""`openai_whisper` recogniser: Whisper through OpenAI's package."""

from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from pickle import UnpicklingError

import numpy as np

from espnet2_taste.asr.abs_recogniser import (
    AbsRecogniser,
    transcribe_pieces,
)
from espnet2_taste.asr.recording import Unavailable
from espnet2_taste.io.identity import weights_identity

_LIMIT = 480000  # samples of Whisper's window


class OpenaiWhisperRecogniser(AbsRecogniser):
    """A Whisper of the package openai-whisper, greedy, in 30 s windows.

    Args:
        model: path of a ``.pt`` file, or a name of ``whisper.available_models()``
            (downloaded).
        device: torch device.
        language: code or name; "" lets a multilingual model find it for each window.
        download_root: where downloads are kept (default: the package's).

    Raises:
        Unavailable: the file is not here and cannot be downloaded.
        ValueError: no such model.
    """

    on_device = True

    def __init__(
        self,
        model: str = "large-v3",
        device: str = "cpu",
        language: str = "en",
        download_root: str | None = None,
    ):
        import whisper

        self.model_name, self.device, self.language = model, device, language
        self.download_root = download_root
        if Path(model).is_file():
            return
        if model not in whisper.available_models():
            raise ValueError(
                f"openai_whisper: {model} is neither a file nor one of "
                f"{', '.join(whisper.available_models())}"
            )
        try:
            self.parts  # noqa: B018  downloads it, if it has to
        except (OSError, RuntimeError) as error:
            raise Unavailable(
                f"Whisper {model} (--asr_model: a .pt file or a name): {error}"
            ) from None

    @property
    def fp16(self) -> bool:
        """Half precision on a GPU."""
        return self.device.startswith("cuda")

    @property
    def cleaner(self) -> str:
        """Whisper's own normaliser of its language."""
        return "whisper_en" if self.language in ("en", "english") else "whisper_basic"

    @property
    def identity(self) -> str:
        language = self.language or "detected"
        half = "float16" if self.fp16 else "float32"
        return (
            f"Whisper {weights_identity(self.model_name)}, openai-whisper "
            f"{version('openai-whisper')}, {half}, greedy, language {language}"
        )

    @cached_property
    def parts(self):
        """The model."""
        import whisper

        from espnet2_taste.io.checkpoint import check_finite

        try:
            model = whisper.load_model(
                self.model_name, self.device, download_root=self.download_root
            )
            check_finite(model.state_dict(), self.model_name)
        except (RuntimeError, UnpicklingError, KeyError, TypeError, EOFError) as error:
            reason = " ".join(str(error).split())[:200]
            raise Unavailable(f"Whisper {self.model_name}: {reason}") from None
        return model

    def __call__(self, wavs: list[np.ndarray]) -> list[str]:
        return transcribe_pieces(wavs, _LIMIT, self._transcribe)

    def _transcribe(self, pieces: list[np.ndarray]) -> list[str]:
        import torch
        import whisper

        model = self.parts
        mels = torch.stack(
            [
                whisper.log_mel_spectrogram(
                    whisper.pad_or_trim(torch.from_numpy(piece)),
                    model.dims.n_mels,
                    device=model.device,
                )
                for piece in pieces
            ]
        )
        multilingual = self.language or None
        options = whisper.DecodingOptions(
            language=multilingual if model.is_multilingual else "en",
            without_timestamps=True,
            fp16=self.fp16,
        )
        results = model.decode(mels, options)
        return [result.text for result in results]
