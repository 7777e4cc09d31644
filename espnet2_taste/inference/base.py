"""What the inference classes share: loading trained models, making batches."""

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from espnet2_taste.asr.ctc_decoding import Heard
from espnet2_taste.io.audio import as_speech
from espnet2_taste.io.checkpoint import build_model_from_file
from espnet2_taste.io.models import find_checkpoint, locate
from espnet2_taste.io.values import as_floats, as_integers
from espnet2_taste.nn.light_linears import lighten_linears
from espnet2_taste.tasks.collate import TasteCollate
from espnet2_taste.tasks.preprocessor import TastePreprocessor
from espnet2_taste.taste.ctc_head import CTCHead
from espnet2_taste.taste.taste_spec import TasteSpec
from espnet2_taste.taste.tokenizer.abs_encoder import EncoderOutput
from espnet2_taste.text.abs_word_tokenizer import AbsWordTokenizer
from espnet2_taste.units.unit_spec import UnitSpec


class Inference(ABC):
    """A trained model, wherever it comes from, and the batches it reads.

    Args:
        train_config: config.yaml of the experiment; None: beside ``model_file``.
        model_file: checkpoint, or experiment or packed model (folder, zip, URL or tag)
            with one; None: the best one beside ``train_config``.
        device: torch device.
        weights: what linear maps compute with on a CPU, see
            :func:`~espnet2_taste.nn.light_linears.lighten_linears`.

    Attributes:
        part: of a packed model.
    """

    part: str

    def __init__(
        self,
        train_config: str | Path | None = None,
        model_file: str | Path | None = None,
        device: str = "cpu",
        weights: str = "float32",
    ):
        if model_file is None:
            if train_config is None:
                raise ValueError("give train_config or model_file")
            model_file = Path(train_config).parent
        model_file = find_checkpoint(locate(model_file), self.part)
        self.model, self.args = build_model_from_file(
            self.build_model, train_config, model_file, device
        )
        lighten_linears(self.model, weights)
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
        """Check, preprocess and pad utterances.

        Args:
            items: arrays and text of each utterance, see :meth:`checked`.
            names: for error messages; default their index.

        Raises:
            ValueError: on an utterance that does not fit; the message names it.
        """
        names = names or [str(i) for i in range(len(items))]
        check_counts(names=names, utterances=items)
        data = []
        for name, item in zip(names, items, strict=True):
            try:
                item = self.checked(item)
            except ValueError as error:
                raise ValueError(f"utterance {name}: {error}") from None
            data.append((name, self.preprocess(name, item)))
        _, batch = self.collate(data)
        return {k: v.to(self.device) for k, v in batch.items()}

    def checked(self, item: dict) -> dict:
        """The arrays that a program gave of an utterance, none reshaped or cast to fit.

        Args:
            item: perhaps ``text`` (str), ``speech`` (N,), ``taste`` (S, R) integers,
                ``latents`` (S, D) and ``spk_emb`` (S,) floats, numpy or torch; others
                are passed on.

        Raises:
            ValueError: another type or shape, values that are no numbers, or codes that
                another model made.
        """
        item = dict(item)
        text = item.get("text", "")
        if not isinstance(text, str):
            raise ValueError(f"text must be a str, not {type(text).__name__}")
        if "speech" in item:
            item["speech"] = as_speech(item["speech"])
            if not len(item["speech"]):
                raise ValueError("speech has no samples")
        if "taste" in item:
            spec = TasteSpec.of(self.model)
            codes = as_integers("TASTE codes", item["taste"])
            if codes.ndim != 2 or codes.shape[1] != spec.num_codebooks:
                raise ValueError(
                    f"TASTE codes of shape {codes.shape}: expected a row of "
                    f"{spec.num_codebooks} for each {spec.granularity}"
                )
            if codes.size and not 0 <= codes.min() <= codes.max() < spec.codebook_size:
                raise ValueError(
                    f"TASTE codes from {codes.min()} to {codes.max()}, this model's "
                    f"are 0 to {spec.codebook_size - 1}"
                )
            item["taste"] = codes
        if "latents" in item:
            item["latents"] = as_floats(item["latents"])
            width = self.model.quantizer.codebook_dim
            if item["latents"].ndim != 2 or item["latents"].shape[1] != width:
                raise ValueError(
                    f"latents of shape {item['latents'].shape}: expected {width} "
                    f"numbers for each {self.model.granularity}"
                )
        if "spk_emb" in item:
            width = self.args.spk_embed_dim
            item["spk_emb"] = as_floats(item["spk_emb"])
            if item["spk_emb"].shape != (width,):
                raise ValueError(
                    f"a speaker embedding of shape {item['spk_emb'].shape}, this model "
                    f"takes ({width},): use the encoder it was trained with"
                )
        return item


def check_counts(**lists) -> None:
    """Refuse lists of different lengths, and one text in place of a list of them.

    Args:
        lists: by their names; None where one is not given.

    Raises:
        ValueError: names them.
    """
    given = {name: items for name, items in lists.items() if items is not None}
    for name, items in given.items():
        if isinstance(items, str):
            raise ValueError(f"{name} must be a list, of one utterance or more")
    if len({len(items) for items in given.values()}) > 1:
        counts = (f"{len(items)} {name}" for name, items in given.items())
        raise ValueError(f"{', '.join(counts)}: one of each for an utterance")


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

    @torch.inference_mode()
    def transcribe(
        self, speech: list[np.ndarray], names: list[str] | None = None, beam: int = 1
    ) -> list[tuple[str, list[float]]]:
        """Text of each waveform by the CTC head on the encoder.

        Args:
            speech: mono waveforms at ``self.sample_rate``.
            names: utterance ids for error messages.
            beam: prefixes of the search; 1: the best path (greedy).

        Returns:
            text ("" where nothing is said) and the probability of each of its tokens.

        Raises:
            ValueError: the model has no such head, or on a bad waveform.
        """
        heard = self.hear(speech, names, beam)[1]
        return [(self.written(one), one.confidence) for one in heard]

    def hear(
        self, speech: list[np.ndarray], names: list[str] | None, beam: int
    ) -> tuple[EncoderOutput, list[Heard]]:
        """:meth:`transcribe` before it is text, and the encoder's output."""
        head = self.ctc_head()
        batch = self.batch([{"speech": wav} for wav in speech], names)
        feats = self.model.extract_feats(batch["speech"], batch["speech_lengths"])
        encoded = self.model.encoder(*feats)
        return encoded, head.transcribe(encoded.keys, encoded.lengths, beam)

    def ctc_head(self) -> CTCHead:
        """Raises ValueError where the model has none."""
        if self.model.ctc is None:
            raise ValueError(
                "this model has no CTC head (model_conf ctc_weight): give the text"
            )
        return self.model.ctc

    @property
    def hears(self) -> AbsWordTokenizer:
        """Of the text that the CTC head writes."""
        return self.preprocess.tokenizers[self.model.views["ctc"]]

    def written(self, heard: Heard) -> str:
        """The text of what was heard, one space where there are several."""
        segmenter = self.preprocess.segmenter
        return segmenter.join(*segmenter.split(self.hears.decode(heard.ids)))


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
        check_counts(text=text, codes=codes)
        items = [{"text": item} for item in text]
        if codes is not None:
            for item, rows in zip(items, codes, strict=True):
                item["taste"] = rows
        return self.batch(items, names)
