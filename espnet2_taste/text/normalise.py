"""What counts as a word when texts are compared."""

import unicodedata
from collections.abc import Callable

from espnet2_taste.text.segmenters import SEGMENTERS, kind_of

#: name -> what it does, for ``--help``
CLEANERS = {
    "words": "lower case, no punctuation",
    "none": "split at spaces",
    "digits": "as words, and figures digit by digit: 127 is one two seven",
    "whisper_en": "ESPnet's: Whisper's English normaliser (numbers, spelling ...)",
    "whisper_basic": "ESPnet's: Whisper's normaliser for any language",
}


def normalise_words(text: str) -> list[str]:
    """Lower-case words without punctuation; apostrophes inside a word stay.

    In scripts without spaces (Chinese, Japanese, Thai ...) each character is a word.

    >>> normalise_words("Don't - stop, 'Bob'! \u6771\u4eac")
    ["don't", 'stop', 'bob', '\u6771', '\u4eac']
    """
    return [part for word in spaced_words(text) for part in _CHARACTERS(word)]


def spaced_words(text: str) -> list[str]:
    """:func:`normalise_words` as white space and punctuation separate them.

    Marks belong to the letter before them; composed and decomposed letters are equal.
    """
    text = unicodedata.normalize("NFC", text.replace("\u2019", "'").lower())
    words = "".join(map(_written, text)).split()
    words = [word.lstrip(_marks_of(word) + "'").rstrip("'") for word in words]
    return [word for word in words if word]


def _written(character: str) -> str:
    """A letter, digit, mark or apostrophe; " " for what separates words; "" for what
    is not seen (joiners, soft hyphens, directions)."""
    if character == "'":
        return character
    kind = unicodedata.category(character)
    if kind == "Cf" and character != "\u200b":  # a space of no width
        return ""
    return character if kind[0] in "LMN" else " "


def _marks_of(word: str) -> str:
    return "".join(c for c in word if unicodedata.category(c)[0] == "M")


_CHARACTERS = SEGMENTERS["characters"].words
_DIGITS = "zero one two three four five six seven eight nine".split()


def spelled_digits(text: str) -> list[str]:
    """:func:`normalise_words` with every digit as a word of its own, as it is read out
    in a telephone number; Whisper's normaliser makes one number of them.

    >>> spelled_digits("One, 2, 73.")
    ['one', 'two', 'seven', 'three']
    """
    spelled = (f" {_DIGITS[int(c)]} " if c.isdecimal() else c for c in text)
    return normalise_words("".join(spelled))


def unspaced_part(text: str) -> str:
    """What of a text is in a script without spaces; "" for nothing."""
    if text.isascii():
        return ""
    return "".join(c for c in text if kind_of(c) == "character")


def load_cleaner(name: str) -> Callable[[str], list[str]]:
    """Text -> the words that are compared, by one of ``CLEANERS``.

    Raises:
        ValueError: no such cleaner.
    """
    if name == "words":
        return normalise_words
    if name == "none":
        return str.split
    if name == "digits":
        return spelled_digits
    if name not in CLEANERS:
        raise ValueError(f"{name} is no cleaner; choose from {', '.join(CLEANERS)}")
    from espnet2.text.cleaner import TextCleaner  # imports Whisper: seconds

    cleaner = TextCleaner(name)
    if name == "whisper_en":
        return lambda text: cleaner(text).split()
    return lambda text: _keeping_marks(cleaner, text)


def _keeping_marks(cleaner: Callable[[str], str], text: str) -> list[str]:
    """Words by a cleaner that takes marks (vowels of Hindi, say) for punctuation."""
    text = unicodedata.normalize("NFKC", text.lower())
    marks = sorted(set(_marks_of(text)))
    hidden = {ord(mark): 0xE000 + i for i, mark in enumerate(marks)}  # private use
    shown = {code: mark for mark, code in hidden.items()}
    words = cleaner(text.translate(hidden)).translate(shown).split()
    return [part for word in words for part in _CHARACTERS(word)]
