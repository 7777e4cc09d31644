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
        ("digits", ["he's", "two", "one", "colour"]),
        ("whisper_en", ["he", "is", "21", "color"]),
        ("whisper_basic", ["he", "s", "21", "colour"]),
    ],
)
def test_cleaners(name, words):
    assert load_cleaner(name)("He's 21, COLOUR!") == words


def test_unknown_cleaner_is_one_line():
    with pytest.raises(ValueError, match="soap is no cleaner; choose from words, none"):
        load_cleaner("soap")


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        ("9, 2, 0, 4", "nine two zero four"),
        ("127", "one two seven"),
        ("1,272-8.", "one two seven two eight"),
        ("Seven, nine 3rd", "seven nine three rd"),
        ("\u0663", "three"),
    ],
)
def test_figures_are_read_digit_by_digit(heard, words):
    assert load_cleaner("digits")(heard) == words.split()
