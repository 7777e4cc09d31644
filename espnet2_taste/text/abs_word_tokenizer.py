"""Text tokenizers that know words: every vocabulary is reached through words.

A transcript is split into words once (:mod:`~espnet2_taste.text.segmenters`). Each word
is then tokenised on its own, so that any two vocabularies (the tokenizer's, an LLM's)
meet at word indices.
"""

import functools
from abc import ABC, abstractmethod


class AbsWordTokenizer(ABC):
    """Maps words to token ids and back.

    Attributes:
        identity: equal for tokenizers of equal vocabulary; None: unknown.
        spaces_alone: whether a word can also be written without a space before it.
    """

    identity: tuple | None = None
    spaces_alone = True

    def __init__(self):
        self._encode_cached = functools.lru_cache(maxsize=100_000)(self._encode_word)

    def __getstate__(self):
        cached = ("_encode_cached", "processors")
        return {k: v for k, v in self.__dict__.items() if k not in cached}

    def __setstate__(self, state):
        self.__dict__.update(state)
        AbsWordTokenizer.__init__(self)

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Number of token ids."""

    @abstractmethod
    def _encode(self, word: str, spaced: bool) -> tuple[int, ...]:
        """Ids of one word, with or without a space before it; () when nothing of it is
        in the vocabulary."""

    @abstractmethod
    def piece(self, index: int) -> str:
        """What one token writes, with a leading space where it begins a word.

        "" for symbols, ``<unk>`` too. Bytes that make no character by themselves are
        surrogates (:pep:`383`), so that whole texts can be put together of pieces.
        """

    def decode(self, ids: list[int]) -> str:
        """Text of a token sequence."""
        written = "".join(map(self.piece, ids)).encode("utf-8", "surrogateescape")
        return written.decode("utf-8", "replace").strip()

    def _encode_word(self, word: str, spaced: bool) -> tuple[int, ...]:
        """:meth:`_encode`, checked: only so can a model write what it is trained on.

        Raises:
            ValueError: the tokens are not read back as one word.
        """
        ids = self._encode(word, spaced)
        pieces = [self.piece(index) for index in ids]
        if not any(piece.strip(" ") for piece in pieces):
            return ()
        begins = [piece.startswith(" ") for piece in pieces]
        if begins != [spaced] + [False] * (len(ids) - 1):
            raise ValueError(
                f"word {word!r} is written as {pieces} in this vocabulary, which is "
                f"read as {'several words' if any(begins[1:]) else 'another word'}; "
                "normalise the text or choose another vocabulary"
            )
        return ids

    def encode_text(self, text: str) -> list[int]:
        """Ids of plain text, which may hold whatever the vocabulary knows; "" is []."""
        return self.encode_words(text.split())[0] if text.split() else []

    def encode_words(
        self, words: list[str], spaced: list[bool] | None = None
    ) -> tuple[list[int], list[int]]:
        """Tokenise word by word.

        Args:
            words: of one utterance, none of them empty.
            spaced: whether there is a space before each; default: before all of them.

        Returns:
            token ids and, of the same length, the word index of each token.

        Raises:
            ValueError: a word has no token or is read as several, or there is none.
        """
        if not words:
            raise ValueError("empty text")
        ids, word_ids = [], []
        spaced = spaced or [True] * len(words)
        for index, (word, space) in enumerate(zip(words, spaced, strict=True)):
            tokens = self._encode_cached(word, space)
            if not tokens:
                raise ValueError(
                    f"word {word!r} has no known token; normalise the text or extend "
                    "the vocabulary"
                )
            ids.extend(tokens)
            word_ids.extend([index] * len(tokens))
        return ids, word_ids
