import re

import pytest

from espnet2_taste.evaluate.report.listen import mark_differences
from espnet2_taste.evaluate.scorers.words import word_errors


@pytest.mark.parametrize(
    ("expected", "heard", "marked"),
    [
        ("set the lamp", "set the lamp", "set the lamp"),
        ("set the lamp", "set lamp", "set <del>the</del> lamp"),
        ("set the lamp", "set a the lamp", "set <ins>a</ins> the lamp"),
        ("set the lamp", "set the <b>", "set the <del>lamp</del><ins>&lt;b&gt;</ins>"),
        ("a b", "", "<del>a</del> <del>b</del>"),
        ("", "a", "<ins>a</ins>"),
        ("", "", ""),
    ],
)
def test_marks(expected, heard, marked):
    assert mark_differences(expected, heard) == marked


def test_marks_are_the_errors_counted():
    expected = "every soldier quickly noticed our hammer in the yard"
    heard = "our soldiers quickly notice the red hammer the garden yard now"
    html = mark_differences(expected, heard)
    errors = word_errors(expected.split(), heard.split())
    pairs = len(re.findall("</del><ins>", html))
    assert pairs == errors.substituted
    assert html.count("<del>") - pairs == errors.deleted
    assert html.count("<ins>") - pairs == errors.inserted
    words = re.sub("<del>.*?</del>", " ", html)
    assert re.sub("<.*?>", " ", words).split() == heard.split()
