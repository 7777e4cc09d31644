"""Continue a spoken prompt: words and TASTE codes -> further words and codes."""

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from espnet2_taste.checkpoint import build_model_from_file
from espnet2_taste.data.collate import TasteCollate
from espnet2_taste.data.preprocessor import TaslmPreprocessor
from espnet2_taste.inference.base import download, find_checkpoint
from espnet2_taste.taslm.generation import Generated, Prompt, generate
from espnet2_taste.taslm.sampler import SamplingOptions, Vocabulary


@dataclass
class Continuation:
    """What a TASLM says next.

    Attributes:
        words: W words, the prompt not among them.
        codes: (W, R) int64 TASTE codes of these words.
    """

    words: list[str]
    codes: torch.Tensor


class TaslmGenerate:
    """A trained TASLM that continues prompts.

    Args:
        train_config: config.yaml of the experiment; None: beside ``model_file``.
        model_file: checkpoint; None: the best one beside ``train_config``.
        device: torch device.
        ban: pieces never written, see
            :meth:`~espnet2_taste.taslm.sampler.Vocabulary.build`.
        options: fields of :class:`~espnet2_taste.taslm.sampler.SamplingOptions`.

    Example:
        >>> taslm = TaslmGenerate.from_pretrained("exp/taslm", text_top_p=0.9)
        >>> taslm([["set", "the", "red"]], [codes])[0].words
        ['lamp', 'near', 'the', 'window']
    """

    def __init__(
        self,
        train_config: str | Path | None = None,
        model_file: str | Path | None = None,
        device: str = "cpu",
        ban: str = "empty",
        **options,
    ):
        from espnet2_taste.taslm.build import build_taslm_model

        if model_file is None:
            if train_config is None:
                raise ValueError("give train_config or model_file")
            model_file = find_checkpoint(Path(train_config).parent)
        self.model, args = build_model_from_file(
            build_taslm_model, train_config, model_file, device
        )
        self.device = device
        self.preprocess = TaslmPreprocessor(
            args.token_type, args.token_model, self.model.quantizer.num_codebooks
        )
        self.tokenizer = self.preprocess.tokenizer
        self.collate = TasteCollate()
        options = {"end_symbol": self.model.end_symbol, "max_words": 16} | options
        self.options = SamplingOptions(**options)
        self.vocabulary = Vocabulary.build(
            self.model.lm.vocab_size,
            self.tokenizer.vocab_size,
            self.tokenizer.piece,
            ban,
        ).to(device)

    @classmethod
    def from_pretrained(
        cls, path_or_tag: str, cache_dir: str | None = None, **options
    ) -> "TaslmGenerate":
        """Load an experiment folder, a packed zip, or a model-zoo / hub tag."""
        if Path(path_or_tag).is_dir():
            return cls(model_file=find_checkpoint(path_or_tag), **options)
        return cls(**download(path_or_tag, cache_dir), **options)

    def __call__(
        self,
        words: list[list[str]],
        codes: list[np.ndarray | torch.Tensor] | None = None,
        names: list[str] | None = None,
        mode: str = "audio",
        instruction: tuple[list[str], list[str]] | None = None,
        **options,
    ) -> list[Continuation]:
        """Continue a batch of prompts; each result is that of the prompt alone.

        Args:
            words: words of each prompt.
            codes: (W, R) codes of each prompt's words (``audio``, ``instruct``).
            names: utterance ids; they choose the random streams. Default: the index.
            mode: ``zero``, ``text``, ``audio`` or ``instruct``, see
                :class:`~espnet2_taste.taslm.generation.Prompt`.
            instruction: words before and after an ``instruct`` prompt.
            options: sampling options that differ from those of the constructor.

        Raises:
            ValueError: on a prompt that does not fit; the message names it.
        """
        names = names or [str(i) for i in range(len(words))]
        prompt = self._prompt(words, codes, names, mode, instruction)
        seeds = [zlib.crc32(name.encode()) for name in names]
        run = generate(
            self.model,
            self.vocabulary,
            prompt,
            replace(self.options, **options),
            seeds,
        )
        return [self._continuation(run, i) for i in range(len(words))]

    def _prompt(self, words, codes, names, mode, instruction) -> Prompt:
        """Tensors of a batch of prompts."""
        if mode == "zero":
            empty = torch.zeros(len(words), 1, dtype=torch.long, device=self.device)
            return Prompt(mode, empty, empty[:, 0])
        data = [{"text": " ".join(item)} for item in words]
        if mode != "text":
            if codes is None or len(codes) != len(words):
                raise ValueError(f"mode {mode} needs the codes of every prompt")
            for item, rows in zip(data, codes, strict=True):
                item["taste"] = np.asarray(rows).reshape(-1)
        items = [
            (name, self.preprocess(name, item))
            for name, item in zip(names, data, strict=True)
        ]
        batch = {k: v.to(self.device) for k, v in self.collate(items)[1].items()}
        around = {}
        if mode == "instruct":
            if instruction is None:
                raise ValueError("mode instruct needs an instruction")
            for name, text in zip(("prefix", "suffix"), instruction, strict=True):
                ids = self.tokenizer.encode_words(text)[0] if text else []
                around[name] = torch.tensor(ids, dtype=torch.long, device=self.device)
        return Prompt(
            mode,
            batch["text"],
            batch["text_lengths"],
            batch["word_ids"],
            batch.get("taste"),
            **around,
        )

    def _continuation(self, run: Generated, item: int) -> Continuation:
        tokens, codes = run.words(item)
        words = ["".join(self.tokenizer.decode(ids).split()) for ids in tokens]
        # A lone word mark writes nothing: its codes go with it.
        kept = [i for i, word in enumerate(words) if word]
        return Continuation([words[i] for i in kept], codes[kept])
