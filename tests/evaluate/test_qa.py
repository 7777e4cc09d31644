import json

import pytest
from score_columns import COLUMNS

from espnet2_taste.evaluate.column import find_column
from espnet2_taste.evaluate.qa import answer_words, contains, score_qa, write_numbers


@pytest.mark.parametrize(
    "text,expected",
    [
        ("twenty four", "24"),
        ("one hundred and ninety three men", "193 men"),
        ("six hundred thirteen", "613"),
        ("sixty thousands", "60000"),
        ("three million two hundred thousand and five", "3200005"),
        ("hundred", "100"),
        ("nineteen eighty four", "19 84"),
        ("four twenty", "4 20"),
        ("twenty four seven", "24 7"),
        ("twenty zero", "20 0"),
        ("two hundred and the dog", "200 and the dog"),
        ("one and two", "1 and 2"),
        ("salt and pepper", "salt and pepper"),
        ("", ""),
    ],
)
def test_numbers(text, expected):
    assert " ".join(write_numbers(text.split())) == expected


@pytest.mark.parametrize(
    "text,answer,found",
    [
        ("It is Paris, of course.", "paris", True),
        ("comparison", "Paris", False),  # words, not letters
        ("He was George W. Washington", "George Washington", False),  # side by side
        ("she sang like Beyonce", "Beyoncé", True),
        ("in the lord of rings", "The Lord of the Rings", True),  # no articles
        ("there are 24 hours", "Twenty-four", True),
        ("there are one hundred hours", "one", False),
        ("some two thousand men", "2,000", True),
        ("1,234,567 of them", "1234567", True),
        ("1,2 or 3", "12", False),
        ("the", "The", True),  # nothing but an article
        ("anything", "?!", False),
        ("", "Paris", False),
    ],
)
def test_containment(text, answer, found):
    assert contains(text, answer) is found


def test_white_space_and_apostrophes():
    assert answer_words(" Baha'u'llah\t is\nGREAT ") == ["baha'u'llah", "is", "great"]


def test_five_questions_by_hand(tmp_path, caplog):
    answers = {
        "q1": ["Paris"],
        "q2": ["Roma", "Rome"],
        "q3": ["two"],
        "q4": ["Ann"],
        "q5": ["x"],
    }
    rows = [{"key": k, "answers": a} for k, a in answers.items()]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "answers.jsonl").write_text(lines)
    text = "q1 it is paris\nq2 rome was\nq3 3 or 4\nq4\nother words\n"  # q5 is missing
    (tmp_path / "text").write_text(text)
    (row,) = score_qa("web", tmp_path)
    assert row.key == "web"
    assert row.statistics["accuracy"].ids == list(answers)
    assert row.statistics["accuracy"].values().tolist() == [1, 1, 0, 0, 0]
    assert row.statistics["accuracy"].value() == pytest.approx(2 / 5)
    assert row.statistics["coverage"].value() == pytest.approx(3 / 5)
    assert row.failures == {"nothing generated": 2}
    assert list(row.lines.values())[1]["text"] == "Roma | Rome"
    assert "web: nothing generated for 2 of 5" in caplog.text
    for key in row.statistics:
        assert find_column({"columns": COLUMNS}, "qa", key)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="answers.jsonl: see bin.prepare_tes"):
        score_qa("q", tmp_path)
    (tmp_path / "answers.jsonl").write_text('{"key": "q", "answers": ["a"]}\n')
    with pytest.raises(FileNotFoundError, match="text: see bin.taslm_generate"):
        score_qa("q", tmp_path)
    (tmp_path / "text").write_text("p words\n")
    with pytest.raises(ValueError, match="has no question of .*, e.g. not q"):
        score_qa("q", tmp_path)
