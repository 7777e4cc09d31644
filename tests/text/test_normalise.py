import pytest

from espnet2_taste.text.normalise import load_cleaner, normalise_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't - stop, 'Bob'!", ["don't", "stop", "bob"]),
        ("it\u2019s  2_3", ["it's", "2", "3"]),
        ("\u00c9t\u00e9 \u6771\u4eac", ["\u00e9t\u00e9", "\u6771", "\u4eac"]),
        ("...", []),
    ],
)
def test_normalise_words(text, words):
    assert normalise_words(text) == words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("words", ["he's", "21", "colour"]),
        ("none", ["He's", "21,", "COLOUR!"]),
        ("whisper_en", ["he", "is", "21", "color"]),
        ("whisper_basic", ["he", "s", "21", "colour"]),
    ],
)
def test_cleaners(name, words):
    assert load_cleaner(name)("He's 21, COLOUR!") == words


def test_unknown_cleaner_is_one_line():
    with pytest.raises(ValueError, match="soap is no cleaner; choose from words, none"):
        load_cleaner("soap")
