"""`whisper` recogniser: OpenAI's Whisper through transformers.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022).
"""

from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np

from espnet2_taste.asr.abs_recogniser import AbsRecogniser, transcribe_pieces
from espnet2_taste.asr.recording import Unavailable
from espnet2_taste.io.identity import weights_identity
from espnet2_taste.io.published import published


class WhisperRecogniser(AbsRecogniser):
    """A Whisper of transformers, greedy, in 30 s windows.

    Args:
        model: folder, or hub id (downloaded).
        device: torch device.
        language: code or name; "" lets a multilingual model find it for each window.
        dtype: of the weights; default float16 on cuda, else float32.
        max_new_tokens: per window.

    Raises:
        Unavailable: neither a folder nor to be had from the hub.
    """

    on_device = True

    def __init__(
        self,
        model: str,
        device: str = "cpu",
        language: str = "en",
        dtype: str | None = None,
        max_new_tokens: int = 200,
    ):
        from transformers import AutoConfig

        self.model_name, self.device, self.language = model, device, language
        half = "float16" if device.startswith("cuda") else "float32"
        self.dtype, self.max_new_tokens = dtype or half, max_new_tokens
        try:
            AutoConfig.from_pretrained(published(model), trust_remote_code=False)
        except (OSError, ValueError) as error:  # not to be had, or no model
            reason = str(error).splitlines()[0]
            if Path(model).is_absolute() and not Path(model).exists():
                reason = "no such folder"
            raise Unavailable(
                f"Whisper {model} (--asr_model: a folder, or a hub id such as "
                f"openai/whisper-large-v3): {reason}"
            ) from None

    @property
    def cleaner(self) -> str:
        """Whisper's own normaliser of its language."""
        return "whisper_en" if self.language in ("en", "english") else "whisper_basic"

    @property
    def identity(self) -> str:
        language = self.language or "detected"
        return (
            f"Whisper {weights_identity(self.model_name)}, transformers "
            f"{version('transformers')}, {self.dtype}, greedy, at most "
            f"{self.max_new_tokens} tokens, language {language}"
        )

    @cached_property
    def parts(self):
        """Model, feature extractor and tokenizer."""
        import torch
        from transformers import (
            WhisperFeatureExtractor,
            WhisperForConditionalGeneration,
            WhisperTokenizer,
        )

        from espnet2_taste.io.checkpoint import load_transformers

        model = load_transformers(
            WhisperForConditionalGeneration,
            self.model_name,
            spare="",
            dtype=getattr(torch, self.dtype),
        )
        return (
            model.eval().to(self.device),
            WhisperFeatureExtractor.from_pretrained(published(self.model_name)),
            WhisperTokenizer.from_pretrained(published(self.model_name)),
        )

    def __call__(self, wavs: list[np.ndarray]) -> list[str]:
        limit = self.parts[1].chunk_length * self.sample_rate
        return transcribe_pieces(wavs, limit, self._transcribe)

    def _transcribe(self, pieces: list[np.ndarray]) -> list[str]:
        import torch

        model, extractor, tokenizer = self.parts
        features = extractor(
            pieces,
            sampling_rate=self.sample_rate,
            return_tensors="pt",
            device=self.device,
        ).input_features
        options = {}
        if getattr(model.generation_config, "is_multilingual", False):
            options = {"language": self.language or None, "task": "transcribe"}
        with torch.inference_mode():
            tokens = model.generate(
                features.to(self.device, model.dtype),
                do_sample=False,
                num_beams=1,
                max_new_tokens=self.max_new_tokens,
                **options,
            )
        return tokenizer.batch_decode(tokens, skip_special_tokens=True)
