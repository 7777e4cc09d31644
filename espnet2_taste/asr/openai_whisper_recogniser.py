"""`openai_whisper` recogniser: Whisper through OpenAI's package."""

from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from pickle import UnpicklingError

import numpy as np

from espnet2_taste.asr.abs_recogniser import transcribe_pieces
from espnet2_taste.asr.abs_whisper import AbsWhisper
from espnet2_taste.asr.recording import Unavailable
from espnet2_taste.asr.transcript import Transcript, find_language
from espnet2_taste.io.identity import weights_identity

_LIMIT = 480000  # samples of Whisper's window


class OpenaiWhisperRecogniser(AbsWhisper):
    """A Whisper of the package openai-whisper, in 30 s windows.

    Args:
        model: path of a ``.pt`` file, or a name of ``whisper.available_models()``
            (downloaded).
        device: torch device.
        language: code or name; "" lets a multilingual model find it in the first
            window of each recording.
        download_root: where downloads are kept (default: the package's).
        fallback: options of :class:`~espnet2_taste.asr.transcript.Fallback`.

    Raises:
        Unavailable: the file is not here and cannot be downloaded.
        ValueError: no such model or language.
    """

    def __init__(
        self,
        model: str = "large-v3",
        device: str = "cpu",
        language: str = "en",
        download_root: str | None = None,
        **fallback,
    ):
        import whisper

        super().__init__(**fallback)
        self.model_name, self.device = model, device
        self.language = find_language(language, whisper.tokenizer.LANGUAGES)
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
    def identity(self) -> str:
        language = self.language or "detected"
        half = "float16" if self.fp16 else "float32"
        return (
            f"Whisper {weights_identity(self.model_name)}, openai-whisper "
            f"{version('openai-whisper')}, {half}, {self.fallback}, "
            f"language {language}"
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

    def transcribe(self, wavs: list[np.ndarray]) -> list[Transcript]:
        return transcribe_pieces(wavs, _LIMIT, self._transcribe)

    def _transcribe(
        self, pieces: list[np.ndarray], languages: list[str | None]
    ) -> list[Transcript]:
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
        known = [self.language or language for language in languages]
        if not model.is_multilingual:
            known = ["en"] * len(pieces)
        if None in known:
            found = model.detect_language(mels)[1]
            known = [
                language or max(probs, key=probs.get)
                for language, probs in zip(known, found, strict=True)
            ]

        def decode(items: list[int], temperature: float) -> list[Transcript]:
            groups = [[i] for i in items]  # drawn from one stream each
            if not temperature:
                groups = [
                    [i for i in items if known[i] == language]
                    for language in dict.fromkeys(known[i] for i in items)
                ]
            heard = {}
            for group in groups:
                options = whisper.DecodingOptions(
                    language=known[group[0]],
                    temperature=temperature,
                    without_timestamps=True,
                    fp16=self.fp16,
                )
                with torch.random.fork_rng(devices=self._devices()):
                    torch.manual_seed(round(1000 * temperature))
                    results = model.decode(mels[group], options)
                heard |= zip(group, map(_transcript, results), strict=True)
            return [heard[i] for i in items]

        return self.fallback(len(pieces), decode)

    def _devices(self) -> list[str]:
        return [self.device] if self.device.startswith("cuda") else []


def _transcript(result) -> Transcript:
    return Transcript.of(
        result.text,
        language=result.language,
        avg_logprob=result.avg_logprob,
        no_speech_prob=result.no_speech_prob,
        temperature=result.temperature,
        tokens=len(result.tokens),
    )
