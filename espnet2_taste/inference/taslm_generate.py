"""Continue a spoken prompt: words and TASTE codes -> further words and codes."""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from espnet2_taste.inference.base import TaslmInference
from espnet2_taste.nn.random_streams import item_seed
from espnet2_taste.taslm.generation import Generated, Prompt, generate
from espnet2_taste.taslm.sampler import SamplingOptions
from espnet2_taste.taslm.vocabulary import Vocabulary


@dataclass
class Continuation:
    """What a TASLM says next.

    Attributes:
        words: W words, the prompt not among them.
        codes: (W, R) int64 TASTE codes of these words.
    """

    words: list[str]
    codes: torch.Tensor


class TaslmGenerate(TaslmInference):
    """A trained TASLM that continues prompts.

    Args:
        train_config: see :class:`TaslmInference`.
        model_file: likewise.
        device: likewise.
        ban: pieces never written, see
            :meth:`~espnet2_taste.taslm.vocabulary.Vocabulary.build`.
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
        super().__init__(train_config, model_file, device)
        limit = {} if "extra_words" in options else {"max_words": 16}
        options = {"end_symbol": self.model.end_symbol} | limit | options
        known = [field.name for field in fields(SamplingOptions)]
        if unknown := options.keys() - set(known):
            raise ValueError(
                f"unknown sampling option {min(unknown)}; known: {', '.join(known)}"
            )
        self.options = SamplingOptions(**options)
        self.vocabulary = Vocabulary.of(
            self.tokenizer, self.model.lm.vocab_size, ban
        ).to(device)

    def __call__(
        self,
        words: list[list[str]],
        codes: list[np.ndarray | torch.Tensor] | None = None,
        names: list[str] | None = None,
        mode: str = "audio",
        instruction: tuple[str, str] | None = None,
        **options,
    ) -> list[Continuation]:
        """Continue a batch of prompts; each result is that of the prompt alone.

        Args:
            words: words of each prompt.
            codes: (W, R) codes of each prompt's words (``audio``, ``instruct``).
            names: utterance ids; they choose the random streams. Default: the index.
            mode: ``zero``, ``text``, ``audio`` or ``instruct``, see
                :class:`~espnet2_taste.taslm.generation.Prompt`.
            instruction: text before and after an ``instruct`` prompt, special tokens
                among it where the tokenizer knows them.
            options: sampling options that differ from those of the constructor.

        Raises:
            ValueError: on a prompt that does not fit; the message names it.
        """
        names = names or [str(i) for i in range(len(words))]
        prompt = self._prompt(words, codes, names, mode, instruction)
        seeds = [item_seed(name) for name in names]
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
        if mode == "text":
            codes = None
        elif codes is None or len(codes) != len(words):
            raise ValueError(f"mode {mode} needs the codes of every prompt")
        batch = self.word_batch(words, codes, names)
        around = {}
        if mode == "instruct":
            if instruction is None:
                raise ValueError("mode instruct needs an instruction")
            for name, text in zip(("prefix", "suffix"), instruction, strict=True):
                ids = torch.tensor(self.tokenizer.encode_text(text), dtype=torch.long)
                around[name] = ids.to(self.device)
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
