"""An assistant's turn while it is made, which the user may interrupt."""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress

import torch

from espnet2_taste.tasks.dialogue import DialoguePreprocessor, Turn
from espnet2_taste.taslm.generated import Generated


class Answer:
    """Iterate over it for what is said: pieces of whole words with their codes.

    Args:
        dialogues: of the TASLM.
        blocks: its steps, one after the other.
        written: steps -> pieces.

    Attributes:
        turn: what was handed out so far, for the dialogue's history; interrupted where
            :meth:`interrupt` was called before its end.
    """

    def __init__(
        self,
        dialogues: DialoguePreprocessor,
        blocks: Iterator[Generated],
        written: Callable[[Iterable[Generated]], Generator],
    ):
        self._dialogues = dialogues
        self._stopped = threading.Event()
        self._pieces = written(self._until_stopped(blocks))
        books = dialogues.words.spec.num_codebooks
        none, size = torch.zeros(0, books, dtype=torch.long), dialogues.latent_size
        latents = None if size is None else torch.zeros(0, size)
        self.turn = Turn("assistant", "", none, latents=latents)
        self._ended = False

    def _until_stopped(self, blocks: Iterator[Generated]) -> Iterator[Generated]:
        for block in blocks:
            if self._stopped.is_set():
                return
            yield block

    def __iter__(self) -> "Answer":
        return self

    def __next__(self):
        """The next :class:`~espnet2_taste.inference.taslm_generate.Continuation`."""
        try:
            piece = None if self._stopped.is_set() else next(self._pieces)
        except StopIteration:
            self._ended = True
            raise
        if piece is None or self._stopped.is_set():  # meanwhile, by another thread
            raise StopIteration
        self.turn.text += piece.text
        self.turn.codes = torch.cat([self.turn.codes, piece.codes])
        if piece.latents is not None:
            self.turn.latents = torch.cat([self.turn.latents, piece.latents])
        return piece

    def interrupt(self, said: int | None = None) -> Turn:
        """The user barged in: nothing more is computed after the token at work.

        Any thread may call it, also after the end, when not all has been heard.

        Args:
            said: words that the user has heard; None: all that was handed out.

        Returns:
            ``turn``, up to there.

        Raises:
            ValueError: ``said`` is not among the words so far.
        """
        words = self._dialogues.words.segmenter.words(self.turn.text)
        if said is not None and not 0 <= said <= len(words):
            raise ValueError(f"said {said}: {len(words)} words were handed out")
        self._stopped.set()
        with suppress(ValueError):  # at work in another thread, which will see it
            self._pieces.close()
        cut = said is not None and said < len(words)
        if cut or not self._ended:
            self.turn.said = len(words) if said is None else said
        return self.turn

    #: for a pipeline whose source this is: cancelling it is an interruption
    close = interrupt
