"""What the words of a transcript are, also in languages that write no spaces.

A segmenter splits a text into words and says of each whether a space precedes it, which
vocabularies write, too (``▁word``). ``join(*split(text))`` is the text with one space
for any white space, and splits into the same words again.
"""

import unicodedata
from abc import ABC, abstractmethod


class AbsSegmenter(ABC):
    """Splits texts into words."""

    @abstractmethod
    def split(self, text: str) -> tuple[list[str], list[bool]]:
        """The words, and for each whether there is a space before it."""

    def split_after(self, before: str, text: str) -> tuple[list[str], list[bool]]:
        """:meth:`split` of a text's next piece, which begins with a new word.

        Args:
            before: the last word of what came before; "": nothing did.
            text: as :meth:`between` and :meth:`join` write it.
        """
        return self.split(text)

    def between(self, spaced: bool) -> str:
        """What is written before a word that is not a text's first."""
        return " "

    def words(self, text: str) -> list[str]:
        """The words alone."""
        return self.split(text)[0]

    def join(self, words: list[str], spaced: list[bool]) -> str:
        """The text of words; ``spaced``: as :meth:`split` gives it."""
        return " ".join(words)

    def first(self, text: str, count: int) -> str:
        """The text of the first words."""
        words, spaced = self.split(text)
        return self.join(words[:count], spaced[:count])


class WhitespaceSegmenter(AbsSegmenter):
    """``whitespace``: what is between spaces is a word."""

    def split(self, text: str) -> tuple[list[str], list[bool]]:
        words = text.split()
        return words, [True] * len(words)


class PlainSegmenter(WhitespaceSegmenter):
    """``plain``: the same, but no space is before the first word, as where a language
    model's tokenizer is given the whole text."""

    def split(self, text: str) -> tuple[list[str], list[bool]]:
        words = text.split()
        return words, [index > 0 for index in range(len(words))]

    def split_after(self, before: str, text: str) -> tuple[list[str], list[bool]]:
        words, spaced = self.split(text)
        return words, [space or bool(before) for space in spaced]


class GivenSegmenter(AbsSegmenter):
    """``given``: somebody put spaces between the words of a language without spaces;
    nothing stands for them in a vocabulary."""

    def split(self, text: str) -> tuple[list[str], list[bool]]:
        words = text.split()
        return words, [False] * len(words)


class CharacterSegmenter(AbsSegmenter):
    """``characters``: a character of a script without spaces is a word.

    Such scripts are Chinese, Japanese, Thai, Lao, Burmese, Khmer. Letters and digits of
    others, side by side, are one word. Marks belong to the character before them, and
    punctuation to the word before it, or after a space to the next one.
    """

    def split(self, text: str) -> tuple[list[str], list[bool]]:
        words, spaced = [], []
        for chunk in text.split():
            starts, last = True, None  # last: kind of the word's last letter
            for character in chunk:
                kind = kind_of(character)
                if starts or begins_word(kind, last):
                    words.append("")
                    spaced.append(starts)
                    last = None
                words[-1] += character
                starts, last = False, kind or last
        if words and first_kind(words[0]) == "character":
            spaced[0] = False  # as in the middle of a text
        return words, spaced

    def split_after(self, before: str, text: str) -> tuple[list[str], list[bool]]:
        words, spaced = self.split(before + text)
        if before and words[0] != before:
            raise ValueError(f"{text!r} goes on with the word {before!r} before it")
        return words[bool(before) :], spaced[bool(before) :]

    def between(self, spaced: bool) -> str:
        return " " * spaced

    def join(self, words: list[str], spaced: list[bool]) -> str:
        pairs = zip(words, spaced, strict=True)
        return "".join(" " * space + word for word, space in pairs).strip()


#: Code points of scripts without spaces between words.
_NO_SPACES = (
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF)),  # Thai to Khmer
    *((0x3005, 0x3007), (0x3041, 0x30FF), (0x3105, 0x312F)),  # kana, bopomofo
    *((0x31A0, 0x31BF), (0x31F0, 0x31FF), (0x3400, 0x4DBF)),
    *((0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF66, 0xFF9D)),  # Chinese
    (0x20000, 0x3FFFF),
)
#: Japanese signs that lengthen the character before them.
_LENGTHENS = "\u30fc\uff70\uff9e\uff9f"


def kind_of(character: str) -> str | None:
    """``character`` (a letter of a script without spaces), ``letter`` (also a digit) of
    another one, or None: a mark or punctuation."""
    if character in _LENGTHENS or unicodedata.category(character)[0] not in "LN":
        return None
    code = ord(character)
    alone = any(low <= code <= high for low, high in _NO_SPACES)
    return "letter" if character.isdecimal() or not alone else "character"


def first_kind(text: str) -> str | None:
    """Kind of the first letter of a text."""
    return next(filter(None, map(kind_of, text)), None)


def begins_word(kind: str | None, last: str | None) -> bool:
    """Whether a letter of some kind cannot go on with a word.

    Args:
        kind: of the letter.
        last: kind of the last letter of the word; None: it has none yet.
    """
    return last is not None and kind is not None and "character" in (kind, last)


#: name -> segmenter, for options
SEGMENTERS: dict[str, AbsSegmenter] = {
    "whitespace": WhitespaceSegmenter(),
    "plain": PlainSegmenter(),
    "characters": CharacterSegmenter(),
    "given": GivenSegmenter(),
}
