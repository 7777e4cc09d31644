"""Text cleaners of corpora."""

import pytest

from espnet2_taste.text.cleaners import TEXT_CLEANERS, text_cleaner

TEXT = "\u201cDon't,\u201d said  Mr. Bell\u2014he's 2nd!"


@pytest.mark.parametrize(
    "name, cleaned",
    [
        ("none", "\u201cDon't,\u201d said Mr. Bell\u2014he's 2nd!"),
        ("lower", "don't said mr bell he's 2nd"),
        ("whisper_en", "do not said mister bell he is 2nd"),
    ],
)
def test_cleaners(name, cleaned):
    assert text_cleaner(name)(TEXT) == cleaned
    assert name in TEXT_CLEANERS


def test_unknown():
    with pytest.raises(
        ValueError, match="upper is no text cleaner; choose from none, l"
    ):
        text_cleaner("upper")
