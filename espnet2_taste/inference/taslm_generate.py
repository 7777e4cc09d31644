"""Continue a spoken prompt: text and TASTE codes -> further text and codes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from espnet2_taste.inference.base import TaslmInference, check_counts
from espnet2_taste.nn.random_streams import item_seed
from espnet2_taste.taslm.generated import FinishedWord, Generated, WordReader
from espnet2_taste.taslm.generation import Prompt, generate, generate_blocks
from espnet2_taste.taslm.running import generate_running
from espnet2_taste.taslm.sampling_options import SamplingOptions
from espnet2_taste.taslm.vocabulary import Vocabulary
from espnet2_taste.text.view import TextView


@dataclass
class Continuation:
    """What a TASLM says next.

    Attributes:
        text: what is said after the prompt. The texts of a stream's pieces, one after
            the other, are that.
        words: its W words.
        codes: (S, R) int64 TASTE codes, a row per word or per token of these words.
        latents: (S, D) float32 the vectors that the codes are the nearest to, for a
            head that predicts such (``gaussian``): what is meant to be said; else None.
    """

    text: str
    words: list[str]
    codes: torch.Tensor
    latents: torch.Tensor | None = None


class TaslmGenerate(TaslmInference):
    """A trained TASLM that continues prompts.

    Args:
        train_config, model_file, device: see :class:`TaslmInference`.
        ban: pieces never written, see
            :meth:`~espnet2_taste.taslm.vocabulary.Vocabulary.build`.
        slots: prompts of a batch at work at once, the next begins when one has ended;
            None: all together. The words and codes are the same.
        cuda_graph: with ``slots`` on a GPU, a step is launched as one CUDA graph.
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
        slots: int | None = None,
        cuda_graph: bool = False,
        **options,
    ):
        super().__init__(train_config, model_file, device)
        self.slots, self.cuda_graph = slots, cuda_graph
        limits = {"max_words", "max_tokens", "extra_words"}
        limit = {} if limits & options.keys() else {"max_words": 16}
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
        given = self.model, self.vocabulary, prompt, options, seeds
        if self.slots is not None:
            runs = generate_running(*given, self.slots, self.cuda_graph)
            return [self._continuation(run, 0) for run in runs]
        run = generate(*given)
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
        reader, writer = WordReader(run.granularity), _Writer(self)
        return writer.write(reader.read(run, item) + reader.rest())

    def stream(
        self,
        text: str,
        codes: np.ndarray | torch.Tensor | None = None,
        name: str = "0",
        mode: str = "audio",
        instruction: tuple[str, str] | None = None,
        **options,
    ) -> Iterator[Continuation]:
        """Continue a prompt, word by word as they are written.

        Stop iterating, and nothing more is computed. The arguments, of one prompt, are
        those of :meth:`__call__`, which gives the same words and codes.

        Yields:
            one word or more, whose codes have come: ``delay`` words later.
        """
        batch = [text], None if codes is None else [codes], [name]
        pieces = self.stream_batch(*batch, mode, instruction, **options)
        return (piece for [piece] in pieces)

    def stream_batch(
        self,
        text: list[str],
        codes: list[np.ndarray | torch.Tensor] | None = None,
        names: list[str] | None = None,
        mode: str = "audio",
        instruction: tuple[str, str] | None = None,
        **options,
    ) -> Iterator[list[Continuation | None]]:
        """:meth:`stream` of several prompts, see :meth:`__call__`.

        Yields:
            what is new of each prompt; None: nothing.
        """
        options = SamplingOptions.of(self.options, **options)
        names = names or [str(i) for i in range(len(text))]
        check_counts(text=text, names=names)
        if not text:
            return iter([])
        prompt = self._prompt(text, codes, names, mode, instruction)
        seeds = [item_seed(name) for name in names]
        # a word is heard when it is written: look at every step
        blocks = generate_blocks(
            self.model, self.vocabulary, prompt, options, seeds, every=1
        )
        return self._pieces(blocks, len(text))

    def _pieces(
        self, blocks: Iterator[Generated], count: int
    ) -> Iterator[list[Continuation | None]]:
        readers = [WordReader(self.model.granularity) for _ in range(count)]
        writers = [_Writer(self) for _ in range(count)]

        def written(found: list[list]) -> list[Continuation | None]:
            pieces = [w.write(x) for w, x in zip(writers, found, strict=True)]
            return [piece if piece.words else None for piece in pieces]

        for block in blocks:
            block = Generated.joined([block])
            found = [reader.read(block, i) for i, reader in enumerate(readers)]
            if any(pieces := written(found)):
                yield pieces
        if any(pieces := written([reader.rest() for reader in readers])):
            yield pieces


class _Writer:
    """Text of one continuation, as its words are finished.

    Args:
        taslm: who writes.
    """

    def __init__(self, taslm: TaslmGenerate):
        self.tokenizer = taslm.tokenizer
        self.segmenter = taslm.preprocess.segmenter
        self.each = taslm.model.granularity == "token"
        self.after = ""  # the last word so far
        books = taslm.preprocess.spec.num_codebooks
        self.none = torch.zeros(0, books, dtype=torch.long)
        self.no_latents = None
        if taslm.model.speech_head.continuous:
            self.no_latents = torch.zeros(0, taslm.model.quantizer.codebook_dim)

    def write(self, found: list[FinishedWord]) -> Continuation:
        """The next words."""
        text, words, kept = "", [], []
        for ids, *rows in found:
            word = "".join(self.tokenizer.decode(ids).split())
            if not word:  # a lone word mark writes nothing: its codes go with it
                continue
            spaced = self.tokenizer.piece(ids[0]).startswith(" ")
            if self.after:
                word = self.segmenter.between(spaced) + word
            text += word
            ((word,), (spaced,)) = self.segmenter.split_after(self.after, word)
            if self.each:  # a row per token that the word is split into when read again
                size = len(self.tokenizer.encode_words([word], [spaced])[0])
                index = torch.arange(size) * len(rows[0]) // size
                rows = [values[index] for values in rows]
            self.after = word
            words.append(word)
            kept.append(rows)
        codes = torch.cat([self.none, *(codes for codes, _ in kept)])
        latents = self.no_latents
        if latents is not None:
            latents = torch.cat([latents, *(values for _, values in kept)])
        return Continuation(text, words, codes, latents)
