import numpy as np
from score_columns import COLUMNS

from espnet2_taste.evaluate.report.listen import (
    first_seeds,
    worst_lists,
    wrong_answers,
)
from espnet2_taste.evaluate.score_folder import ScoreFolder
from espnet2_taste.evaluate.statistics import Statistics

IDS = list("abcdef")


def folder(tmp_path, statistics, rows=("original", "taste:0", "taste:1")):
    results = {"columns": COLUMNS, "folders": {row: str(tmp_path) for row in rows}}
    return ScoreFolder(tmp_path, results, statistics, {})


def test_most_errors_first(tmp_path):
    errors = [[2, 4], [3, 9], [3, 4], [0, 5], [0, 4], [1, 1]]
    key = ("reconstruction", "taste:0", "wer")
    scores = folder(tmp_path, {key: Statistics("ratio", IDS, errors)})
    (found,) = worst_lists(scores, 9)
    assert found.anchor == "worst-reconstruction-taste-wer" and found.key == "taste:0"
    # Not the rate decides but the errors; the id breaks ties; no error is not listed.
    assert [utt for utt, _ in found.items] == ["b", "c", "a", "f"]
    assert found.items[0][1] == "3 errors in 9 words"
    assert found.items[-1][1] == "1 error in 1 words"
    assert [utt for utt, _ in worst_lists(scores, 2)[0].items] == ["b", "c"]


def test_other_metrics(tmp_path):
    """Higher or lower is worse; ties by id; correlations and seed 1 have none."""
    table = "reconstruction"
    shares = Statistics.mean(dict(zip(IDS, [0.5, 0.25, 0.25, 1, 1, 0.75], strict=True)))
    item = np.arange(6)
    correlation = Statistics.correlation(IDS, item * 1.0, item * 1.0, item)
    errors = Statistics("ratio", IDS, [[int(utt == "c"), 1] for utt in IDS])
    rmse = Statistics("rms", ["d", "e"], [[4, 1], [9, 1]])
    scores = folder(
        tmp_path,
        {
            (table, "taste:0", "wer"): errors,
            (table, "taste:0", "duration_consistency"): shares,
            (table, "taste:0", "f0_rmse"): rmse,
            (table, "taste:0", "rate_corr"): correlation,
            (table, "taste:0", "unit_top1"): Statistics("ratio", ["set"], [[1, 2]]),
            (table, "taste:0", "bitrate"): shares,
            (table, "taste:1", "duration_consistency"): shares,
            ("likelihood", "salmon", "accuracy"): shares,
        },
    )
    found = {w.column.key: w.items for w in worst_lists(scores, 3)}
    assert list(found) == ["wer", "duration_consistency", "f0_rmse"]
    assert found["duration_consistency"] == [("b", "0.250"), ("c", "0.250")]
    assert found["f0_rmse"] == [("e", "3.00 semitones")]


def test_first_seeds():
    folders = {"a": "x", "b:0": "y", "b:1": "z"}
    assert first_seeds(folders) == {"a": "x", "b:0": "y"}


def test_questions_not_answered(tmp_path):
    right = Statistics.mean({"q1": 1.0, "q2": 0.0, "q3": 0.0})
    lines = {"q2": {"text": "paris", "recognised": "rome"}}
    statistics = {("qa", "llama", "accuracy"): right}
    scores = ScoreFolder(tmp_path, {}, statistics, {"llama": lines})
    assert wrong_answers(scores, 9)[1:] == [
        ["llama", "q2", "paris", "rome"],
        ["llama", "q3", "", ""],
    ]
    assert len(wrong_answers(scores, 1)) == 2
    assert wrong_answers(ScoreFolder(tmp_path, {}, {}, {}), 9) == []
