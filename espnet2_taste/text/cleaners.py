"""How a corpus's text is written down: another corpus may have no case, no marks."""

from collections.abc import Callable

from espnet2_taste.text.normalise import load_cleaner, spaced_words

#: name -> what it does, for ``--help``
TEXT_CLEANERS = {
    "none": "as it is",
    "lower": "lower case, no punctuation but apostrophes in words",
    "whisper_en": "Whisper's English normaliser: lower case, numbers in digits ...",
}
_WORDS = {"none": "none", "lower": "words", "whisper_en": "whisper_en"}


def text_cleaner(name: str) -> Callable[[str], str]:
    """Text -> text, by one of ``TEXT_CLEANERS``; the result may be empty.

    Raises:
        ValueError: no such cleaner.
    """
    if name not in _WORDS:
        choices = ", ".join(TEXT_CLEANERS)
        raise ValueError(f"{name} is no text cleaner; choose from {choices}")
    words = spaced_words if name == "lower" else load_cleaner(_WORDS[name])
    return lambda text: " ".join(words(text))
