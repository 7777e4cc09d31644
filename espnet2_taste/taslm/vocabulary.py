"""What the pieces of a text vocabulary mean to the sampler, as tables over its ids."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch

from espnet2_taste.text.tokenizers import AbsWordTokenizer

#: Pieces that stand for something else than their letters.
SPECIAL = frozenset(["<unk>", "<s>", "</s>", "<pad>"])
_BUILT: dict[tuple, "Vocabulary"] = {}


@dataclass
class Vocabulary:
    """(V,) bool tables over the LM's ids.

    Attributes:
        starts_word: the piece begins a word.
        ends_sentence: the piece contains a full stop.
        banned: the piece is never written.
        blank: the piece is a word mark alone, so the word must go on after it.
    """

    starts_word: torch.Tensor
    ends_sentence: torch.Tensor
    banned: torch.Tensor
    blank: torch.Tensor

    @classmethod
    def build(
        cls,
        size: int,
        num_pieces: int,
        piece: Callable[[int], str],
        ban: str = "empty",
    ) -> "Vocabulary":
        """Look at every piece once.

        Args:
            size: V, the LM's vocabulary; ids without a piece start words and are
                banned.
            num_pieces: vocabulary of the tokenizer.
            piece: text of an id, with a leading space where it begins a word.
            ban: ``empty`` bans pieces that write nothing or a line break; ``non_latin``
                (the reference's rule) every piece without a Latin letter, a digit or
                one of ``.,'``, too.
        """
        if ban not in ("empty", "non_latin"):
            raise ValueError(f"ban must be empty or non_latin, not {ban!r}")
        pieces = [piece(i) for i in range(num_pieces)]
        writes = re.compile(r"[.,'a-zA-Z0-9]" if ban == "non_latin" else r"[^\s\ufffd]")
        missing = [True] * (size - num_pieces)
        silent = [not writes.search(p) or "\n" in p or p in SPECIAL for p in pieces]
        if ban == "empty":  # " " alone may begin a word that letters follow
            silent = [s and p != " " for s, p in zip(silent, pieces, strict=True)]
        return cls(
            torch.tensor([p.startswith(" ") for p in pieces] + missing),
            torch.tensor(["." in p for p in pieces] + [False] * len(missing)),
            torch.tensor(silent + missing),
            torch.tensor([p == " " for p in pieces] + [False] * len(missing)),
        )

    @classmethod
    def of(
        cls, tokenizer: AbsWordTokenizer, size: int, ban: str = "empty"
    ) -> "Vocabulary":
        """Tables of a tokenizer, built once in a process for each vocabulary.

        Reading 128k pieces takes half a second, however often models are loaded.
        """
        if tokenizer.identity is None:
            return cls.build(size, tokenizer.vocab_size, tokenizer.piece, ban)
        key = (tokenizer.identity, size, ban)
        if key not in _BUILT:
            _BUILT[key] = cls.build(size, tokenizer.vocab_size, tokenizer.piece, ban)
        return _BUILT[key]

    def to(self, device: torch.device | str) -> "Vocabulary":
        """The tables on another device."""
        return Vocabulary(*(table.to(device) for table in vars(self).values()))
