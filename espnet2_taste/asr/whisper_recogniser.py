"""`whisper` recogniser: OpenAI's Whisper through transformers.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022).
Decoded as OpenAI's program does, but for two things: there are no timestamps, so long
recordings are cut where they are quiet; and no window reads what the one before said.
"""

from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np

from espnet2_taste.asr.abs_recogniser import transcribe_pieces
from espnet2_taste.asr.abs_whisper import AbsWhisper
from espnet2_taste.asr.recording import Unavailable
from espnet2_taste.asr.transcript import Transcript, find_language
from espnet2_taste.io.identity import weights_identity
from espnet2_taste.io.published import published


class WhisperRecogniser(AbsWhisper):
    """A Whisper of transformers, in 30 s windows.

    Args:
        model: folder, or hub id (downloaded).
        device: torch device.
        language: code or name; "" lets a multilingual model find it in the first
            window of each recording.
        dtype: of the weights; default float16 on cuda, else float32. ``auto``:
            bfloat16 on a CPU that multiplies it, elsewhere the default.
        max_new_tokens: per window.
        vocabulary: file of the only words that it may write, in any order; "": all.
        fallback: options of :class:`~espnet2_taste.asr.transcript.Fallback`.

    Raises:
        Unavailable: neither a folder nor to be had from the hub.
        ValueError: a language that it does not know; a vocabulary without words.
    """

    def __init__(
        self,
        model: str,
        device: str = "cpu",
        language: str = "en",
        dtype: str | None = None,
        max_new_tokens: int = 224,
        vocabulary: str | Path = "",
        **fallback,
    ):
        from transformers import AutoConfig

        super().__init__(**fallback)
        self.model_name, self.device = model, device
        self.dtype, self.max_new_tokens = _dtype(dtype, device), max_new_tokens
        self.vocabulary = _words(vocabulary)
        try:
            AutoConfig.from_pretrained(published(model), trust_remote_code=False)
            known = self._languages()
        except (OSError, ValueError) as error:  # not to be had, or no model
            reason = str(error).splitlines()[0]
            if Path(model).is_absolute() and not Path(model).exists():
                reason = "no such folder"
            raise Unavailable(
                f"Whisper {model} (--asr_model: a folder, or a hub id such as "
                f"openai/whisper-large-v3): {reason}"
            ) from None
        self.language = find_language(language, known)

    def _languages(self) -> dict[str, int]:
        """Code -> token of those it knows; {}: English alone."""
        from transformers import GenerationConfig

        from espnet2_taste.asr.whisper_decoding import language_ids

        return language_ids(
            GenerationConfig.from_pretrained(published(self.model_name))
        )

    @property
    def identity(self) -> str:
        language = self.language or "detected"
        return (
            f"Whisper {weights_identity(self.model_name)}, transformers "
            f"{version('transformers')}, {self.dtype}, {self.fallback}, at most "
            f"{self.max_new_tokens} tokens, language {language}"
            + (f", of the words {self.vocabulary}" if self.vocabulary else "")
        )

    @cached_property
    def parts(self):
        """Feature extractor and decoding."""
        import torch
        from transformers import (
            WhisperFeatureExtractor,
            WhisperForConditionalGeneration,
            WhisperTokenizer,
        )

        from espnet2_taste.asr.whisper_decoding import WhisperDecoding
        from espnet2_taste.io.checkpoint import load_transformers

        model = load_transformers(
            WhisperForConditionalGeneration,
            self.model_name,
            spare="",
            dtype=getattr(torch, self.dtype),
        )
        tokenizer = WhisperTokenizer.from_pretrained(published(self.model_name))
        return (
            WhisperFeatureExtractor.from_pretrained(published(self.model_name)),
            WhisperDecoding(
                model.eval().to(self.device),
                tokenizer,
                self.max_new_tokens,
                self.vocabulary.split(),
            ),
        )

    def transcribe(self, wavs: list[np.ndarray]) -> list[Transcript]:
        limit = self.parts[0].chunk_length * self.sample_rate
        return transcribe_pieces(wavs, limit, self._transcribe)

    def _transcribe(
        self, pieces: list[np.ndarray], languages: list[str | None]
    ) -> list[Transcript]:
        extractor, decoding = self.parts
        model = decoding.model
        features = extractor(
            pieces,
            sampling_rate=self.sample_rate,
            return_tensors="pt",
            device=self.device,
        ).input_features
        heard = decoding.listen(features.to(self.device, model.dtype))
        found = heard.languages or ["en"] * len(pieces)
        used = [self.language or a or b for a, b in zip(languages, found, strict=True)]
        return self.fallback(
            len(pieces), lambda items, t: decoding.write(heard, used, items, t)
        )


def _words(file: str | Path) -> str:
    """What stands in a file, with single spaces; "" without one."""
    words = " ".join(Path(file).read_text(encoding="utf-8").split()) if file else ""
    if file and not words:
        raise ValueError(f"{file}: no words")
    return words


def _dtype(dtype: str | None, device: str) -> str:
    """What the default and ``auto`` stand for."""
    if dtype not in (None, "auto"):
        return dtype
    if device.startswith("cuda"):
        return "float16"
    from espnet2_taste.nn.light_linears import multiplies_bfloat16

    return "bfloat16" if dtype == "auto" and multiplies_bfloat16() else "float32"
