import pytest

from espnet2_taste.metrics.words import normalise_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't - stop, 'Bob'!", ["don't", "stop", "bob"]),
        ("it\u2019s  2_3", ["it's", "2", "3"]),
        ("\u00c9t\u00e9 \u6771\u4eac", ["\u00e9t\u00e9", "\u6771\u4eac"]),
        ("...", []),
    ],
)
def test_normalise_words(text, words):
    assert normalise_words(text) == words
