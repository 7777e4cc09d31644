"""What the inference classes share: loading trained models, making batches."""

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from espnet2_taste.io.checkpoint import build_model_from_file
from espnet2_taste.io.models import find_checkpoint, locate
from espnet2_taste.tasks.collate import TasteCollate
from espnet2_taste.tasks.preprocessor import TastePreprocessor
from espnet2_taste.taste.taste_spec import TasteSpec
from espnet2_taste.text.abs_word_tokenizer import AbsWordTokenizer
from espnet2_taste.units.unit_spec import UnitSpec


class Inference(ABC):
    """A trained model, wherever it comes from, and the batches it reads.

    Args:
        train_config: config.yaml of the experiment; None: beside ``model_file``.
        model_file: checkpoint, or experiment or packed model (folder, zip, URL or tag)
            with one; None: the best one beside ``train_config``.
        device: torch device.

    Attributes:
        part: of a packed model.
    """

    part: str

    def __init__(
        self,
        train_config: str | Path | None = None,
        model_file: str | Path | None = None,
        device: str = "cpu",
    ):
        if model_file is None:
            if train_config is None:
                raise ValueError("give train_config or model_file")
            model_file = Path(train_config).parent
        model_file = find_checkpoint(locate(model_file), self.part)
        self.model, self.args = build_model_from_file(
            self.build_model, train_config, model_file, device
        )
        self.device = device
        try:
            self.preprocess = self.build_preprocess()
        except (ValueError, OSError) as error:  # transformers' have several lines
            reason = str(error).partition("\n")[0]
            raise ValueError(f"{model_file}: its tokenizer: {reason}") from None
        self.collate = TasteCollate()

    @classmethod
    def from_pretrained(
        cls, path_or_tag: str | Path, cache_dir: str | None = None, **options
    ):
        """Load an experiment, a packed model, a checkpoint, a zip, or a model-zoo tag.

        Args:
            path_or_tag: folder, ``*.pth``, zip, URL or tag.
            cache_dir: of downloads and unpacked zips.
            options: other arguments of the class.
        """
        return cls(model_file=locate(path_or_tag, cache_dir), **options)

    @staticmethod
    @abstractmethod
    def build_model(args: argparse.Namespace) -> torch.nn.Module:
        """The model of training options."""

    @abstractmethod
    def build_preprocess(self) -> Callable[[str, dict], dict]:
        """What training does to an item, from ``self.args`` and ``self.model``."""

    def batch(self, items: list[dict], names: list[str] | None = None) -> dict:
        """Preprocess and pad utterances.

        Args:
            items: arrays and text of each utterance, as ESPnet's dataset gives them.
            names: for error messages; default their index.

        Raises:
            ValueError: on an utterance that does not fit; the message names it.
        """
        names = names or [str(i) for i in range(len(items))]
        data = [
            (name, self.preprocess(name, item))
            for name, item in zip(names, items, strict=True)
        ]
        for name, item in data:
            self.check(name, item)
        _, batch = self.collate(data)
        return {k: v.to(self.device) for k, v in batch.items()}

    def check(self, name: str, item: dict[str, np.ndarray]) -> None:
        """Refuse TASTE codes and speaker embeddings of another model."""
        if "taste" in item:
            codes, size = item["taste"], self.model.quantizer.codebook_size
            if ((codes < 0) | (codes >= size)).any():
                raise ValueError(
                    f"utterance {name}: TASTE codes from {codes.min()} to "
                    f"{codes.max()}, this model's are 0 to {size - 1}"
                )
        if "spk_emb" in item and item["spk_emb"].shape != (self.args.spk_embed_dim,):
            raise ValueError(
                f"utterance {name}: a speaker embedding of shape "
                f"{item['spk_emb'].shape}, this model takes "
                f"({self.args.spk_embed_dim},): use the encoder it was trained with"
            )


class TasteInference(Inference):
    """A trained TASTE model with its text tokenizer."""

    part = "taste"

    @property
    def unit_spec(self) -> UnitSpec:
        """Of the speech units that its decoder makes."""
        return UnitSpec.of(self.args)

    @property
    def sample_rate(self) -> int:
        """Hz of the speech it takes."""
        from espnet2_taste.taste.build import frontend_rate

        return frontend_rate(self.args.frontend, self.args.frontend_conf)

    @staticmethod
    def build_model(args: argparse.Namespace) -> torch.nn.Module:
        from espnet2_taste.taste.build import build_taste_model

        return build_taste_model(args)

    def build_preprocess(self) -> TastePreprocessor:
        spec = TasteSpec.of(self.model)
        return TastePreprocessor.of(self.args, spec, self.model.views["aggregator"])


class TaslmInference(Inference):
    """A trained TASLM with its text tokenizer."""

    part = "taslm"

    @staticmethod
    def build_model(args: argparse.Namespace) -> torch.nn.Module:
        from espnet2_taste.taslm.build import build_taslm_model

        return build_taslm_model(args)

    def build_preprocess(self) -> TastePreprocessor:
        spec = TasteSpec.of(self.model)
        return TastePreprocessor.of(self.args, spec, generated=True)

    @property
    def tokenizer(self) -> AbsWordTokenizer:
        """Of the LM's text."""
        return self.preprocess.tokenizer

    def text_batch(
        self,
        text: list[str],
        codes: list[np.ndarray | torch.Tensor] | None = None,
        names: list[str] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Tokenise and pad utterances.

        Args:
            text: transcripts.
            codes: (S, R) TASTE codes of each utterance's segments.
            names: for error messages; default their index.

        Raises:
            ValueError: on an utterance without words or with codes that do not fit;
                the message names it.
        """
        items = [{"text": item} for item in text]
        if codes is not None:
            for item, rows in zip(items, codes, strict=True):
                item["taste"] = np.asarray(rows).reshape(-1)
        return self.batch(items, names)


def as_speech(wav: np.ndarray | torch.Tensor) -> np.ndarray:
    """A mono waveform as float32 numpy, checked.

    Raises:
        ValueError: not one-dimensional or empty.
    """
    wav = np.asarray(wav, dtype=np.float32)
    if wav.ndim != 1 or not wav.size:
        raise ValueError(f"speech must be a non-empty mono waveform, got {wav.shape}")
    return wav
