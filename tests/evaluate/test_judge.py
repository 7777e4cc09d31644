import math

import pytest

from espnet2_taste.evaluate.judge import (
    Answer,
    judge_identity,
    make_questions,
    parse_score,
    read_judge,
    read_judgements,
)


@pytest.mark.parametrize(
    "answer,score",
    [
        ("It follows.\nScore: 4", 4.0),
        ("**Score:** 4/5", 4.0),
        ("score = 3 out of 5", 3.0),
        ("Score: 2. No, wait.\nScore: 5.", 5.0),
        ("SCORE: 3.5", 3.5),
        (" 2\n", 2.0),
        ("Score: <1>", 1.0),
        ("Score: 0", None),
        ("Score: 45", None),
        ("A score between 1 and 5 is hard to give.", None),
        ("four", None),
        ("", None),
    ],
)
def test_scores_of_answers(answer, score):
    assert parse_score(answer) == score


def test_questions_hold_the_words_whatever_they_are():
    prompts = {"a": "a {continuation}", "b": "unused"}
    (question,) = make_questions(prompts, {"a": "x {prompt} }"})
    assert "<prompt>a {continuation}</prompt>" in question.message
    assert "<continuation>x {prompt} }</continuation>" in question.message
    (other,) = make_questions(prompts, {"a": "x"}, "{prompt}|{continuation}")
    assert other.message == "a {continuation}|x" and other.digest != question.digest
    with pytest.raises(ValueError, match="template has no {prompt}"):
        make_questions(prompts, {}, "{continuation}")
    with pytest.raises(ValueError, match="prompt_text: c is missing"):
        make_questions(prompts, {"c": "x"})


def test_answers_file(tmp_path):
    assert read_judge(tmp_path) is None
    answers = [Answer("a", 4.0, "Score: 4", "m", "d"), Answer("b", None, "?", "m", "d")]
    path = tmp_path / "judge.jsonl"
    path.write_text("".join(a.to_json() + "\n" for a in answers) + '{"key": "c", "sc')
    assert list(read_judgements(path).values()) == answers  # the broken-off line is not
    scores = read_judge(tmp_path)
    assert scores["a"] == 4.0 and math.isnan(scores["b"])
    assert judge_identity(tmp_path) == "m"
    path.write_text('{"key": "c"}\n')
    with pytest.raises(ValueError, match="judge.jsonl:1: expected a line of bin.judge"):
        read_judgements(path)
