"""Dialogues as the TASLM reads them: turns, and the template's tokens around them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from espnet2_taste.io.values import as_floats, as_integers, check_numbers
from espnet2_taste.tasks.preprocessor import TastePreprocessor, check_ids
from espnet2_taste.text.chat_template import ROLES, ChatTemplate

#: Whose turns are learned.
LEARNED = ("assistant", "all")


@dataclass
class Turn:
    """What one side of a dialogue says.

    Attributes:
        role: ``system``, ``user`` or ``assistant``.
        text: its words; "": nothing was said.
        codes: (S, R) integers, TASTE codes of these words, a row per word or token;
            None: written, not spoken.
        said: words after which the other side barged in: the turn is interrupted, and
            text and codes count up to there; None: it ended by itself.
        latents: (S, D) floats, the vectors that a model with a continuous head
            (``gaussian``) said, of which the codes are the nearest: what it reads again
            when the turn is history; None: the codes' own.
    """

    role: str
    text: str
    codes: np.ndarray | torch.Tensor | None = None
    said: int | None = None
    latents: np.ndarray | torch.Tensor | None = None

    def __post_init__(self):
        if self.role not in ROLES:
            raise ValueError(f"role {self.role!r} is not one of {', '.join(ROLES)}")
        if not isinstance(self.text, str):
            raise ValueError(f"text must be a str, not {type(self.text).__name__}")
        whole = isinstance(self.said, int) and not isinstance(self.said, bool)
        if self.said is not None and not (whole and self.said >= 0):
            raise ValueError(f"said {self.said!r}: expected a number of words")

    @property
    def interrupted(self) -> bool:
        """Whether the other side barged in."""
        return self.said is not None


class DialoguePreprocessor:
    """``(uid, data) -> data`` of a TASLM that learns dialogues.

    Its ``text`` is a JSON list of turns, objects with ``role``, ``text``, ``spoken``
    (false: without codes) and perhaps ``said`` (see :class:`Turn`), its ``taste`` the
    codes of the spoken ones one after the other. It makes ``text``, ``word_ids`` and
    ``taste`` of the whole dialogue, a token of the template being a word with codes -1,
    and ``learned``, 1 for each token that is to be learned: those of the assistant's
    turns and the token that ends each, unless the turn was interrupted.

    Args:
        words: of the words of a turn.
        template: writes what is around them.
        learned: ``assistant``, or ``all``: every turn and what is around it, as TASTE2.
        latent_size: D of a model whose turns have latents: ``latents`` (S, D) float32
            of the whole dialogue are made, too, NaN where the codes' own are to be
            read; None: of one that reads codes.
    """

    def __init__(
        self,
        words: TastePreprocessor,
        template: ChatTemplate,
        learned: str = "assistant",
        latent_size: int | None = None,
    ):
        if learned not in LEARNED:
            raise ValueError(f"learned_turns {learned!r} is not one of {LEARNED}")
        self.words = words
        self.template = template
        self.learned = learned
        self.latent_size = latent_size

    @property
    def tokenizer(self):
        """Of the words and the template."""
        return self.words.tokenizer

    def __call__(self, uid: str, data: dict) -> dict[str, np.ndarray]:
        """Raises ValueError on a dialogue that does not fit; the message names it."""
        try:
            turns = self.read(data["text"], data["taste"])
            made = self.arrays(
                turns, self.template.around(tuple(t.role for t in turns))
            )
            if not made["learned"].any():
                raise ValueError("the assistant says nothing that could be learned")
        except ValueError as error:
            raise ValueError(f"dialogue {uid}: {error}") from None
        return made

    def read(self, text: str, taste: np.ndarray) -> list[Turn]:
        """The turns of a line of ``text``, with their share of the codes.

        Raises:
            ValueError: another form, or not as many codes as the text has segments.
        """
        try:
            given = json.loads(text)
            turns = [Turn(x["role"], x["text"], said=x.get("said")) for x in given]
            spoken = [bool(x.get("spoken", True)) for x in given]
        except (TypeError, KeyError, AttributeError, json.JSONDecodeError):
            raise ValueError(
                "text is no JSON list of turns with role and text"
            ) from None
        if not turns:
            raise ValueError("text has no turns")
        sizes = [
            self._rows(turn.text) if has else 0
            for turn, has in zip(turns, spoken, strict=True)
        ]
        books, kind = self.words.spec.num_codebooks, self.words.spec.granularity
        if taste.size != sum(sizes) * books:
            raise ValueError(
                f"{taste.size} TASTE codes for {sum(sizes)} {kind}s x {books} "
                "codebooks in its spoken turns: of other texts, or of another "
                "segmentation"
            )
        rows = np.split(taste.reshape(-1, books), np.cumsum(sizes)[:-1])
        for turn, has, codes in zip(turns, spoken, rows, strict=True):
            turn.codes = codes if has else None
        return turns

    def prompt(self, turns: Sequence[Turn]) -> dict[str, np.ndarray]:
        """What comes before the assistant's next turn, as training has it.

        Raises:
            ValueError: no list of turns, or a turn whose codes are not those of its
                text; says which.
        """
        if isinstance(turns, Turn) or not all(isinstance(t, Turn) for t in turns):
            raise ValueError("a dialogue is a list of Turn")
        roles = (*(turn.role for turn in turns), "assistant")
        return self.arrays(turns, self.template.around(roles)[:-1])

    def arrays(
        self, turns: Sequence[Turn], around: Sequence[Sequence[int]]
    ) -> dict[str, np.ndarray]:
        """A dialogue's arrays, see the class.

        Args:
            turns: T of them.
            around: T + 1 lists of template tokens.
        """
        pieces = [self._around(around[0], None)]
        for index, turn in enumerate(turns):
            try:
                pieces.append(self._said(turn))
            except ValueError as error:
                raise ValueError(f"turn {index} ({turn.role}): {error}") from None
            pieces.append(self._around(around[index + 1], turn))
        words = np.cumsum([0, *(len(set(piece.words)) for piece in pieces)])
        text, word_ids, learned = [], [], []
        for first, piece in zip(words[:-1], pieces, strict=True):
            text += piece.ids
            word_ids += [first + word for word in piece.words]
            learned += piece.learned
        made = {
            "text": np.array(text, dtype=np.int64),
            "word_ids": np.array(word_ids, dtype=np.int64),
            "taste": np.concatenate([piece.codes for piece in pieces]),
            "learned": np.array(learned, dtype=np.int64),
        }
        if self.latent_size is not None:
            made["latents"] = np.concatenate(list(map(self._latents, pieces)))
        return made

    def _latents(self, piece: "_Piece") -> np.ndarray:
        if piece.latents is not None:
            return piece.latents
        return np.full((len(piece.codes), self.latent_size), np.nan, dtype=np.float32)

    def _none(self, rows: int) -> np.ndarray:
        """Codes of segments that are not spoken."""
        return np.full((rows, self.words.spec.num_codebooks), -1, dtype=np.int64)

    def _around(self, ids: Sequence[int], before: Turn | None) -> "_Piece":
        """Tokens of the template, of which the first ends the turn before them."""
        everything = self.learned == "all"
        learned = [int(everything)] * len(ids)
        if before is not None and ids:
            own = everything or before.role == "assistant"
            learned[0] = int(own and not before.interrupted)
        return _Piece(list(ids), range(len(ids)), self._none(len(ids)), learned)

    def _rows(self, text: str) -> int:
        return len(self.words.segments(text)) if text.strip() else 0

    def _said(self, turn: Turn) -> "_Piece":
        """What was said of a turn."""
        words, spec = self.words, self.words.spec
        segments = words.segments(turn.text) if turn.text.strip() else []
        codes = self._none(len(segments))
        if turn.codes is not None:
            codes = as_integers("TASTE codes", turn.codes)
            if codes.shape != (len(segments), spec.num_codebooks):
                raise ValueError(
                    f"TASTE codes of shape {codes.shape} for a text of {len(segments)} "
                    f"{spec.granularity}s x {spec.num_codebooks} codebooks: of another "
                    "text, or of another segmentation"
                )
            check_ids("TASTE code", codes, spec.codebook_size)
        latents = self._given_latents(turn, len(segments))
        said, spaced = words.segmenter.split(turn.text)
        if turn.said is not None:
            if turn.said > len(said):
                raise ValueError(f"said {turn.said}: its text has {len(said)} words")
            said, spaced = said[: turn.said], spaced[: turn.said]
            rows = sum(word < turn.said for word in segments)
            codes, latents = codes[:rows], None if latents is None else latents[:rows]
        ids, of_words = words.tokenizer.encode_words(said, spaced) if said else ([], [])
        if words.tells_letters:
            words.check_letters(np.array(ids))
        own = self.learned == "all" or turn.role == "assistant"
        return _Piece(ids, of_words, codes, [int(own)] * len(ids), latents)

    def _given_latents(self, turn: Turn, rows: int) -> np.ndarray | None:
        if turn.latents is None:
            return None
        if self.latent_size is None or turn.codes is None:
            why = "without codes" if self.latent_size else "for a model of codes alone"
            raise ValueError(f"latents {why}: leave them out")
        latents = as_floats(turn.latents)
        if latents.shape != (rows, self.latent_size):
            raise ValueError(
                f"latents of shape {latents.shape} for {rows} "
                f"{self.words.spec.granularity}s x {self.latent_size} numbers: of "
                "another text or model"
            )
        check_numbers("latents", latents)
        return latents


class _Piece(NamedTuple):
    """N tokens: ids, the word of each (0 the first), (S, R) codes, what is learned, and
    (S, D) latents or None."""

    ids: list[int]
    words: Sequence[int]
    codes: np.ndarray
    learned: list[int]
    latents: np.ndarray | None = None
