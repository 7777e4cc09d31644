"""What counts as a word when texts are compared."""

import re

# Anything that is neither a letter, a digit nor an apostrophe separates words.
_SEPARATOR = re.compile(r"[^\w']|_")


def normalise_words(text: str) -> list[str]:
    """Lower-case words without punctuation; apostrophes inside a word stay.

    >>> normalise_words("Don't - stop, 'Bob'!")
    ["don't", 'stop', 'bob']
    """
    text = text.replace("\u2019", "'").lower()
    words = (word.strip("'") for word in _SEPARATOR.sub(" ", text).split())
    return [word for word in words if word]
