"""What counts as a word when texts are compared."""

import re
from collections.abc import Callable

# Anything that is neither a letter, a digit nor an apostrophe separates words.
_SEPARATOR = re.compile(r"[^\w']|_")
#: name -> what it does, for ``--help``
CLEANERS = {
    "words": "lower case, no punctuation",
    "none": "split at spaces",
    "whisper_en": "ESPnet's: Whisper's English normaliser (numbers, spelling ...)",
    "whisper_basic": "ESPnet's: Whisper's normaliser for any language",
}


def normalise_words(text: str) -> list[str]:
    """Lower-case words without punctuation; apostrophes inside a word stay.

    >>> normalise_words("Don't - stop, 'Bob'!")
    ["don't", 'stop', 'bob']
    """
    text = text.replace("\u2019", "'").lower()
    words = (word.strip("'") for word in _SEPARATOR.sub(" ", text).split())
    return [word for word in words if word]


def load_cleaner(name: str) -> Callable[[str], list[str]]:
    """Text -> the words that are compared, by one of ``CLEANERS``.

    Raises:
        ValueError: no such cleaner.
    """
    if name == "words":
        return normalise_words
    if name == "none":
        return str.split
    if name not in CLEANERS:
        raise ValueError(f"{name} is no cleaner; choose from {', '.join(CLEANERS)}")
    from espnet2.text.cleaner import TextCleaner  # imports Whisper: seconds

    cleaner = TextCleaner(name)
    return lambda text: cleaner(text).split()
