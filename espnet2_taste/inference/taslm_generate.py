"""Continue a spoken prompt: text and TASTE codes -> further text and codes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from espnet2_taste.inference.base import TaslmInference, check_counts
from espnet2_taste.nn.random_streams import item_seed
from espnet2_taste.taslm.generation import Generated, Prompt, generate
from espnet2_taste.taslm.sampling_options import SamplingOptions
from espnet2_taste.taslm.vocabulary import Vocabulary
from espnet2_taste.text.view import TextView


@dataclass
class Continuation:
    """What a TASLM says next.

    Attributes:
        text: what is said after the prompt.
        words: its W words.
        codes: (S, R) int64 TASTE codes, a row per word or per token of these words.
    """

    text: str
    words: list[str]
    codes: torch.Tensor


class TaslmGenerate(TaslmInference):
    """A trained TASLM that continues prompts.

    Args:
        train_config, model_file, device: see :class:`TaslmInference`.
        ban: pieces never written, see
            :meth:`~espnet2_taste.taslm.vocabulary.Vocabulary.build`.
        options: fields of
            :class:`~espnet2_taste.taslm.sampling_options.SamplingOptions`.

    Example:
        >>> taslm = TaslmGenerate.from_pretrained("exp/taslm", text_top_p=0.9)
        >>> taslm(["set the red"], [codes])[0].text
        'lamp near the window'
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
        self.options = SamplingOptions.of(**options)
        segmenter = getattr(self.args, "segmenter", None) or "whitespace"
        if segmenter == "given" and self.model.granularity == "word":
            raise ValueError(
                "segmenter given: where a generated word begins cannot be told from "
                "its tokens; generate with granularity token, or segmenter characters"
            )
        self.vocabulary = Vocabulary.of(
            self.tokenizer, self.model.lm.vocab_size, ban, segmenter
        ).to(device)

    def __call__(
        self,
        text: list[str],
        codes: list[np.ndarray | torch.Tensor] | None = None,
        names: list[str] | None = None,
        mode: str = "audio",
        instruction: tuple[str, str] | None = None,
        **options,
    ) -> list[Continuation]:
        """Continue a batch of prompts; each result is that of the prompt alone.

        Args:
            text: of each prompt.
            codes: (S, R) codes of each prompt, a row per word or token (``audio``,
                ``instruct``).
            names: utterance ids; they choose the random streams. Default: the index.
            mode: ``zero``, ``text``, ``audio`` or ``instruct``, see
                :class:`~espnet2_taste.taslm.generation.Prompt`.
            instruction: text before and after an ``instruct`` prompt, special tokens
                among it where the tokenizer knows them.
            options: sampling options that differ from those of the constructor.

        Raises:
            ValueError: on a prompt that does not fit; the message names it.
        """
        options = SamplingOptions.of(self.options, **options)
        if not text:
            return []
        names = names or [str(i) for i in range(len(text))]
        check_counts(text=text, names=names)
        prompt = self._prompt(text, codes, names, mode, instruction)
        seeds = [item_seed(name) for name in names]
        run = generate(self.model, self.vocabulary, prompt, options, seeds)
        return [self._continuation(run, i) for i in range(len(text))]

    def _prompt(self, text, codes, names, mode, instruction) -> Prompt:
        """Tensors of a batch of prompts."""
        if mode == "zero":
            empty = torch.zeros(len(text), 1, dtype=torch.long, device=self.device)
            return Prompt(mode, TextView(empty, empty[:, 0], empty))
        if mode == "text":
            codes = None
        elif codes is None:
            raise ValueError(f"mode {mode} needs the codes of every prompt")
        batch = self.text_batch(text, codes, names)
        around = {}
        if mode == "instruct":
            if instruction is None:
                raise ValueError("mode instruct needs an instruction")
            for name, part in zip(("prefix", "suffix"), instruction, strict=True):
                ids = torch.tensor(self.tokenizer.encode_text(part), dtype=torch.long)
                around[name] = ids.to(self.device)
        return Prompt(mode, self.model.view(batch), batch.get("taste"), **around)

    def _continuation(self, run: Generated, item: int) -> Continuation:
        tokens, codes = run.words(item)
        each = run.granularity == "token"
        rows = list(codes.split([len(ids) if each else 1 for ids in tokens]))
        words = ["".join(self.tokenizer.decode(ids).split()) for ids in tokens]
        # A lone word mark writes nothing: its codes go with it.
        kept = [i for i, word in enumerate(words) if word]
        spaced = [self.tokenizer.piece(tokens[i][0]).startswith(" ") for i in kept]
        segmenter = self.preprocess.segmenter
        text = segmenter.join([words[i] for i in kept], spaced)
        words, spaced = segmenter.split(text)
        rows = [rows[i] for i in kept]
        if each:  # a row per token that the text is split into when it is read again
            for i, (word, space) in enumerate(zip(words, spaced, strict=True)):
                size = len(self.tokenizer.encode_words([word], [space])[0])
                rows[i] = rows[i][torch.arange(size) * len(rows[i]) // size]
        return Continuation(text, words, torch.cat([codes[:0], *rows]))
