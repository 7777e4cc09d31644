"""What the pieces of a text vocabulary mean to the sampler, as tables over its ids."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch

from espnet2_taste.text import utf8
from espnet2_taste.text.abs_word_tokenizer import AbsWordTokenizer
from espnet2_taste.text.segmenters import SEGMENTERS, first_kind, kind_of

#: What the letters of a piece are, see :func:`~espnet2_taste.text.segmenters.kind_of`.
KINDS = (None, "letter", "character")
CHARACTER = KINDS.index("character")
_BUILT: dict[tuple, "Vocabulary"] = {}


def _is_part(piece: str) -> bool:
    """Whether a piece belongs to one word, whatever it follows: not where a word would
    begin inside of it (``'s`` after a character that is a word)."""
    if len(SEGMENTERS["characters"].words(piece)) > 1:
        return False
    begins = piece.startswith(" ") or kind_of(piece[:1] or " ") is not None
    return begins or first_kind(piece) is None


@dataclass
class Vocabulary:
    """(V,) bool tables over the LM's ids.

    Attributes:
        starts_word: the piece begins a word, as it begins with a space.
        ends_sentence: the piece contains a full stop.
        banned: the piece is never written.
        blank: the piece is a word mark alone, so the word must go on after it.
        first: (V,) int8 index in ``KINDS`` of the piece's first letter, where words
            begin without spaces, too; None: nowhere.
        last: likewise, of its last letter.
        bytes: (8, V) int8 state after the piece from each state of
            :mod:`~espnet2_taste.text.utf8`, REJECT where the bytes make no text; None:
            no piece that may be written has a part of a character.
    """

    starts_word: torch.Tensor
    ends_sentence: torch.Tensor
    banned: torch.Tensor
    blank: torch.Tensor
    first: torch.Tensor | None = None
    last: torch.Tensor | None = None
    bytes: torch.Tensor | None = None

    @property
    def tokens_per_character(self) -> int:
        """At most."""
        return 1 if self.bytes is None else 4

    def begins(self, ids, last: torch.Tensor) -> torch.Tensor:
        """Whether tokens begin a word.

        Args:
            ids: index into the tables.
            last: index in ``KINDS`` of the last letter of the word before them.
        """
        begins = self.starts_word[ids]
        if self.first is not None:
            first = self.first[ids]
            alone = (first == CHARACTER) | (first > 0) & (last == CHARACTER)
            begins = begins | (last > 0) & alone
        return begins

    @classmethod
    def build(
        cls,
        size: int,
        num_pieces: int,
        piece: Callable[[int], str],
        ban: str = "empty",
        segmenter: str = "whitespace",
    ) -> "Vocabulary":
        """Look at every piece once.

        Args:
            size: V, the LM's vocabulary; ids without a piece start words and are
                banned.
            num_pieces: vocabulary of the tokenizer.
            piece: of an id, see
                :meth:`~espnet2_taste.text.abs_word_tokenizer.AbsWordTokenizer.piece`.
            ban: ``empty`` bans pieces that write nothing, or white space that is not
                before a word; ``non_latin`` (the reference's rule) every piece without
                a Latin letter, a digit or one of ``.,'``, or with a line break.
            segmenter: of ``SEGMENTERS``; with ``given`` every token is a word.
        """
        if ban not in ("empty", "non_latin"):
            raise ValueError(f"ban must be empty or non_latin, not {ban!r}")
        pieces = [piece(i) for i in range(num_pieces)]
        missing = [True] * (size - num_pieces)
        if ban == "empty":  # " " alone may begin a word that letters follow
            writes = re.compile(r" ?[^\s\ufffd]+| ")
            silent = [not writes.fullmatch(piece) for piece in pieces]
        else:
            writes = re.compile(r"[.,'a-zA-Z0-9]")
            silent = [not writes.search(p) or "\n" in p for p in pieces]
        kinds = [None, None]
        if segmenter == "characters":
            texts = [utf8.spell_cut(p, first_kind) for p in pieces]
            both = zip(silent, texts, strict=True)
            silent = [s or t is None or not _is_part(t) for s, t in both]
            texts = [text or "" for text in texts]
            for place, some in enumerate((texts, [t[::-1] for t in texts])):
                found = [KINDS.index(first_kind(text)) for text in some]
                kinds[place] = torch.tensor(found + [0] * len(missing)).to(torch.int8)
        both = zip(silent, pieces, strict=True)
        written = ["" if s else p for s, p in both] + [""] * len(missing)
        given = segmenter == "given"
        return cls(
            torch.tensor([given or p.startswith(" ") for p in pieces] + missing),
            torch.tensor(["." in p for p in pieces] + [False] * len(missing)),
            torch.tensor(silent + missing),
            torch.tensor([p == " " for p in pieces] + [False] * len(missing)),
            *kinds,
            utf8.transitions(written),
        )

    @classmethod
    def of(
        cls,
        tokenizer: AbsWordTokenizer,
        size: int,
        ban: str = "empty",
        segmenter: str = "whitespace",
    ) -> "Vocabulary":
        """Tables of a tokenizer, built once in a process for each vocabulary.

        Reading 128k pieces takes half a second, however often models are loaded.
        """
        arguments = (size, tokenizer.vocab_size, tokenizer.piece, ban, segmenter)
        if tokenizer.identity is None:
            return cls.build(*arguments)
        key = (tokenizer.identity, size, ban, segmenter)
        if key not in _BUILT:
            _BUILT[key] = cls.build(*arguments)
        return _BUILT[key]

    def to(self, device: torch.device | str) -> "Vocabulary":
        """The tables on another device."""
        tables = vars(self).values()
        return Vocabulary(*(None if t is None else t.to(device) for t in tables))
