"""Continue a spoken prompt: text and TASTE codes -> further text and codes."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from espnet2_taste.inference.answer import Answer
from espnet2_taste.inference.base import TaslmInference, check_counts
from espnet2_taste.inference.writer import Continuation, Writer
from espnet2_taste.nn.random_streams import item_seed
from espnet2_taste.tasks.dialogue import DialoguePreprocessor, Turn
from espnet2_taste.taslm.generated import Generated, WordReader
from espnet2_taste.taslm.generation import Prompt, generate, generate_blocks
from espnet2_taste.taslm.running import generate_running
from espnet2_taste.taslm.sampling_options import SamplingOptions
from espnet2_taste.taslm.vocabulary import Vocabulary
from espnet2_taste.text.chat_template import ChatTemplate
from espnet2_taste.text.view import TextView


class TaslmGenerate(TaslmInference):
    """A trained TASLM that continues prompts.

    Args:
        train_config, model_file, device, weights: see :class:`TaslmInference`.
        ban: pieces never written, see
            :meth:`~espnet2_taste.taslm.vocabulary.Vocabulary.build`.
        slots: prompts of a batch at work at once, the next begins when one has ended;
            None: all together. The words and codes are the same.
        cuda_graph: with ``slots`` on a GPU, a step is launched as one CUDA graph.
        chat_template: how :meth:`chat` writes dialogues, see
            :data:`~espnet2_taste.text.chat_template.TEMPLATES`; None: as in training.
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
        chat_template: str | None = None,
        weights: str = "float32",
        **options,
    ):
        super().__init__(train_config, model_file, device, weights)
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
        self.chat_template = chat_template or getattr(self.args, "chat_template", None)

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
        prompt = self.prompt(text, codes, names, mode, instruction)
        return self._continuations(prompt, options, names)

    def _continuations(
        self, prompt: Prompt, options: SamplingOptions, names: list[str]
    ) -> list[Continuation]:
        seeds = [item_seed(name) for name in names]
        given = self.model, self.vocabulary, prompt, options, seeds
        if self.slots is not None:
            runs = generate_running(*given, self.slots, self.cuda_graph)
            return [self.continuation(run, 0) for run in runs]
        run = generate(*given)
        return [self.continuation(run, i) for i in range(len(names))]

    def prompt(self, text, codes, names, mode, instruction=None) -> Prompt:
        """Tensors of a batch of prompts; the arguments are :meth:`__call__`'s."""
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

    def continuation(self, run: Generated, item: int = 0) -> Continuation:
        """What an item of a generation says."""
        reader, writer = WordReader(run.granularity), Writer(self)
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
        prompt = self.prompt(text, codes, names, mode, instruction)
        seeds = [item_seed(name) for name in names]
        # a word is heard when it is written: look at every step
        blocks = generate_blocks(
            self.model, self.vocabulary, prompt, options, seeds, every=1
        )
        return self._pieces(blocks, len(text))

    @cached_property
    def dialogues(self) -> DialoguePreprocessor:
        """How turns are read.

        Raises:
            ValueError: this model has no chat template, or none that can be used.
        """
        if self.chat_template is None:
            raise ValueError(
                "this model was not trained on dialogues: give chat_template (own, "
                "chatml, taste2)"
            )
        start = self.model.inputs.start_symbol
        template = ChatTemplate(self.tokenizer, self.chat_template, start)
        size = None
        if self.model.speech_head.continuous:
            size = self.model.quantizer.codebook_dim
        return DialoguePreprocessor(self.preprocess, template, latent_size=size)

    def chat(
        self,
        dialogues: list[Sequence[Turn]],
        names: list[str] | None = None,
        **options,
    ) -> list[Turn]:
        """The assistant's next turn in each of a batch of dialogues.

        Args:
            dialogues: the turns so far.
            names: dialogue ids; they choose the random streams. Default: the index.
            options: sampling options that differ from those of the constructor.

        Raises:
            ValueError: on a dialogue that does not fit; the message names it.
        """
        if not dialogues:
            return []
        names = names or [str(i) for i in range(len(dialogues))]
        check_counts(dialogues=dialogues, names=names)
        made = self._continuations(*self._dialogue_prompt(dialogues, names, options))
        return [
            Turn("assistant", answer.text, answer.codes, latents=answer.latents)
            for answer in made
        ]

    def chat_stream(
        self, dialogue: Sequence[Turn], name: str = "0", **options
    ) -> Answer:
        """The turn that :meth:`chat` gives, word by word, until it is interrupted.

        Example:
            >>> answer = taslm.chat_stream([Turn("user", "hello", codes)])
            >>> for piece in answer:
            ...     player.write(piece)
            ...     if microphone.hears_speech():
            ...         answer.interrupt(said=player.words_played)
            >>> dialogue.append(answer.turn)
        """
        prompt, chosen, _ = self._dialogue_prompt([dialogue], [name], options)
        seeds = [item_seed(name)]
        given = self.model, self.vocabulary, prompt, chosen, seeds
        blocks = generate_blocks(*given, every=1)

        def written(steps):
            return (piece for [piece] in self._pieces(steps, 1))

        return Answer(self.dialogues, blocks, written)

    def _dialogue_prompt(
        self, dialogues, names: list[str], options: dict
    ) -> tuple[Prompt, SamplingOptions, list[str]]:
        """What :meth:`_continuations` takes."""
        items = []
        for name, turns in zip(names, dialogues, strict=True):
            try:
                items.append((name, self.dialogues.prompt(turns)))
            except ValueError as error:
                raise ValueError(f"dialogue {name}: {error}") from None
        batch = {k: v.to(self.device) for k, v in self.collate(items)[1].items()}
        chosen = {"first_starts_word": self.preprocess.segmenter.split("a")[1][0]}
        chosen |= {"closing": self.dialogues.template.closing} | options
        view, latents = self.model.view(batch), batch.get("latents")
        prompt = Prompt("audio", view, batch["taste"], latents=latents)
        return prompt, SamplingOptions.of(self.options, **chosen), names

    def _pieces(
        self, blocks: Iterator[Generated], count: int
    ) -> Iterator[list[Continuation | None]]:
        readers = [WordReader(self.model.granularity) for _ in range(count)]
        writers = [Writer(self) for _ in range(count)]

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
