import pytest

from espnet2_taste.evaluate.report.listen import differences
from espnet2_taste.evaluate.word_errors import word_errors


@pytest.mark.parametrize(
    ("expected", "heard", "marked"),
    [
        ("set the lamp", "set the lamp", "set the lamp"),
        ("set the lamp", "set lamp", "set -the lamp"),
        ("set the lamp", "set a the lamp", "set +a the lamp"),
        ("set the lamp", "set the <b>", "set the -lamp+<b>"),
        ("a b", "", "-a -b"),
        ("", "a", "+a"),
        ("", "", ""),
    ],
)
def test_marks(expected, heard, marked):
    found = [
        f"-{missing}" * bool(missing) + f"+{added}" * bool(added) + right
        for missing, added, right in differences(expected, heard)
    ]
    assert " ".join(found) == marked


def test_marks_are_the_errors_counted():
    expected = "every soldier quickly noticed our hammer in the yard"
    heard = "our soldiers quickly notice the red hammer the garden yard now"
    marks = differences(expected, heard)
    errors = word_errors(expected.split(), heard.split())
    assert sum(bool(m and a) for m, a, _ in marks) == errors.substituted
    assert sum(bool(m and not a) for m, a, _ in marks) == errors.deleted
    assert sum(bool(a and not m) for m, a, _ in marks) == errors.inserted
    assert [a or r for _, a, r in marks if a or r] == heard.split()
