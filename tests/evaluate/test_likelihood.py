"""Accuracies of pairs with log-likelihoods made by hand."""

import json
import math

import numpy as np
import pytest
from score_columns import COLUMNS

from espnet2_taste.evaluate.column import find_column
from espnet2_taste.evaluate.likelihood import outcome, score_likelihood
from espnet2_taste.evaluate.results import average_seeds


def write(folder, pairs, scores):
    """``pairs``: lines; ``scores``: utt -> (score, score_sum, text_ce, taste_ce)."""
    names = ("score", "score_sum", "text_ce", "taste_ce")
    (folder / "pairs").write_text("\n".join(pairs) + "\n")
    rows = [
        {"key": utt} | dict(zip(names, values, strict=True))
        for utt, values in scores.items()
    ]
    lines = [json.dumps(row) + "\n" for row in rows]
    (folder / "likelihoods.jsonl").write_text("".join(lines))
    return folder


def values(row):
    return {key: s.value() for key, s in row.statistics.items()}


def test_four_pairs_by_hand(tmp_path):
    """Pair 1 right, 2 wrong, 3 a tie, 4 right: (1 + 0 + .5 + 1) / 4 = .625."""
    likely = {"1": (-2, -3), "2": (-5, -4), "3": (-3, -3), "4": (-1, -9)}
    pairs, scores = [], {"another": (0, 0, 0, 0)}
    for pair, sides in likely.items():
        pairs.append(f"p{pair} task {pair}+ {pair}- p{pair}")
        for sign, score in zip("+-", sides, strict=True):
            # summed: always the other way; text: always a tie; codes: always right
            taste = 1 if sign == "+" else 2
            scores[pair + sign] = (score, -10 * score, 3, taste)
    (row,) = score_likelihood("set", write(tmp_path, pairs, scores))
    assert row.key == "set" and row.failures == {}
    assert values(row) == {
        "accuracy": 0.625,
        "accuracy_sum": 1 - 0.625,
        "accuracy_text": 0.5,
        "accuracy_codes": 1.0,
        "coverage": 1.0,
    }
    assert row.statistics["accuracy"].values().tolist() == [1, 0, 0.5, 1]
    assert list(row.lines) == ["p1", "p2", "p3", "p4"]
    for key in row.statistics:
        assert find_column({"columns": COLUMNS}, "likelihood", key)


def test_tasks_have_rows_and_the_set_is_over_all_items(tmp_path):
    pairs = ["a t1 a+ a- a", "b t2 b+ b- b", "c t2 c+ c- c"]
    scores = {side: (0,) * 4 for side in ("a-", "b-", "c-", "c+")}
    scores |= {"a+": (1,) * 4, "b+": (1,) * 4}
    rows = score_likelihood("s", write(tmp_path, pairs, scores))
    found = {row.key: row.statistics["accuracy"].value() for row in rows}
    assert found == {"s": pytest.approx(2.5 / 3), "s/t1": 1.0, "s/t2": 0.75}
    assert [len(row.lines) for row in rows] == [3, 0, 0]


def test_an_item_counts_once_however_many_voices_say_it(tmp_path):
    """ZeroSpeech: mean over voices, then over items; here (1/3 + 1) / 2."""
    pairs = [f"a{v} t a{v}+ a{v}- a" for v in range(3)] + ["b t b+ b- b"]
    scores = {utt: (0,) * 4 for line in pairs for utt in line.split()[2:4]}
    scores |= {"a0+": (1,) * 4, "a1+": (-1,) * 4, "a2+": (-1,) * 4, "b+": (1,) * 4}
    (row,) = score_likelihood("s", write(tmp_path, pairs, scores))
    assert row.statistics["accuracy"].ids == ["a", "b"]
    assert row.statistics["accuracy"].value() == pytest.approx((1 / 3 + 1) / 2)


@pytest.mark.parametrize(
    "positive,negative,expected",
    [
        (-10.0, -10.0, 0.5),
        (-10.0, -10.00001, 0.5),  # float32 sums in another batch
        (-10.0, -10.01, 1.0),
        (-10.01, -10.0, 0.0),
        (0.0, 0.0, 0.5),
        (-1e4, -1e4 - 0.05, 0.5),
    ],
)
def test_equal_up_to_rounding_is_a_tie(positive, negative, expected):
    assert outcome(positive, negative) == expected


def test_interval_is_the_bootstrap_of_the_pairs(tmp_path):
    rng = np.random.default_rng(3)
    right = rng.choice([0, 0.5, 1], 60, p=[0.3, 0.1, 0.6])
    pairs = [f"p{i:02d} t {i}+ {i}- p{i:02d}" for i in range(60)]
    scores = {f"{i}-": (0,) * 4 for i in range(60)}
    scores |= {f"{i}+": (r - 0.5,) * 4 for i, r in enumerate(right)}
    rows = score_likelihood("s", write(tmp_path, pairs, scores))
    metric = average_seeds(rows)["s"]["metrics"]["accuracy"]
    assert metric["mean"] == pytest.approx(right.mean())
    means = rng.choice(right, (20000, 60)).mean(1)  # a bootstrap of its own
    expected = np.percentile(means, [2.5, 97.5])
    np.testing.assert_allclose(metric["interval"], expected, atol=0.02)


def test_a_pair_without_scores_is_a_counted_tie(tmp_path, caplog):
    pairs = [f"{p} t {p}+ {p}- {p}" for p in "abcd"]
    scores = {f"{p}{s}": (0, 0, 0, 0) for p in "abcd" for s in "+-"}
    scores["a+"] = (1, 1, 1, 1)
    del scores["b-"]  # its transcript was empty
    scores["c+"] = (math.nan, math.nan, math.nan, 0)
    scores["d-"] = (1, 1, 1, math.inf)
    (row,) = score_likelihood("s", write(tmp_path, pairs, scores))
    found = values(row)
    assert found["accuracy"] == pytest.approx((1 + 3 * 0.5) / 4)
    assert found["coverage"] == 0.25
    assert row.failures == {
        "no score, counted as a tie": 1,
        "score is not a number, counted as a tie": 2,
    }
    failures = [line["failure"] for line in row.lines.values()]
    assert [bool(f) for f in failures] == [False, True, True, True]
    assert "s: 1 of 4 pairs: no score" in caplog.text


def test_what_is_missing_or_malformed_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="pairs: see bin.prepare_testset"):
        score_likelihood("s", tmp_path)
    write(tmp_path, ["a t a+ a- a"], {"b": (0, 0, 0, 0)})
    with pytest.raises(ValueError, match=r"has no pair of .*, e.g. not a\+ and a-"):
        score_likelihood("s", tmp_path)
    scores = tmp_path / "likelihoods.jsonl"
    good = '{"key": "a", "score": 0, "score_sum": 0, "text_ce": 0, "taste_ce": 0}\n'
    scores.write_text(good + '{"key": "b", "score": null}\n')
    with pytest.raises(
        ValueError, match="likelihoods.jsonl:2: expected a line of bin.tas"
    ):
        score_likelihood("s", tmp_path)
    scores.write_text(good + good)
    with pytest.raises(
        ValueError, match="likelihoods.jsonl:2: utterance a appears twice"
    ):
        score_likelihood("s", tmp_path)
    scores.unlink()
    with pytest.raises(
        FileNotFoundError, match="likelihoods.jsonl: see bin.taslm_likelihood"
    ):
        score_likelihood("s", tmp_path)
