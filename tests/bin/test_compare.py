import csv
import json

import numpy as np
import pytest
from score_columns import COLUMNS

from espnet2_taste.bin.compare import main
from espnet2_taste.evaluate.results import (
    average_seeds,
    write_results,
    write_statistics,
)
from espnet2_taste.evaluate.rows import Row
from espnet2_taste.evaluate.score_folder import read_statistics
from espnet2_taste.evaluate.side_by_side import parse_systems
from espnet2_taste.evaluate.statistics import Statistics

IDS = [f"u{i:02d}" for i in range(30)]


def write_scores(folder, rate, texts=None, ids=IDS, scorer="one", seed=0):
    """A scoring whose row taste errs in ``rate`` of the words; text_only in half."""
    rng = np.random.default_rng(seed)
    texts = texts or {utt: f"word {utt}" for utt in ids}
    rows = []
    cases = [("original", "", 0), ("text_only", "", 0.5)]
    for name, key, share in [*cases, ("taste", "0", rate), ("taste", "1", rate)]:
        errors = rng.binomial(8, share, len(ids))
        row = Row(name, key, folder)
        row.statistics = {
            "wer": Statistics("ratio", ids, np.stack([errors, errors * 0 + 8], 1)),
            "f0_rmse": Statistics("rms", ids[1:], [[4.0, 1.0]] * (len(ids) - 1)),
        }
        row.lines = {utt: {"text": texts[utt]} for utt in ids}
        rows.append(row)
    test = Row("salmon", "", folder)
    right = rng.binomial(1, 1 - rate, 40).astype(float)
    pairs = {f"p{i}": value for i, value in enumerate(right)}
    test.statistics = {"accuracy": Statistics.mean(pairs)}
    tables = {"reconstruction": rows, "continuation": [], "likelihood": [test]}
    results = {name: average_seeds(scored) for name, scored in tables.items()}
    results |= {"scorers": {"words": scorer}, "not_computed": {}, "qa": {}}
    results["columns"] = COLUMNS
    folder.mkdir(parents=True, exist_ok=True)
    write_results(folder, results, tables)
    return str(folder)


@pytest.fixture
def systems(tmp_path):
    """Two experiment folders with a scoring each."""
    write_scores(tmp_path / "a" / "exp" / "scores" / "test", 0.4)
    write_scores(tmp_path / "b" / "scores", 0.1, ids=IDS[2:], seed=1)
    return [str(tmp_path / "a"), str(tmp_path / "b")]


def test_side_by_side(systems, tmp_path, capsys):
    main([*systems, "--output_dir", str(tmp_path / "out"), "--resamples", "2000"])
    shown = capsys.readouterr().out
    assert shown == (tmp_path / "out" / "compare.md").read_text() + "\n"
    assert "# a / b" in shown
    assert "## Reconstruction: taste" in shown and "## Likelihood tests" in shown
    assert "WER: 28 of 30 utterances are compared" in shown
    assert "not in every system: a 2, b 0" in shown and "Seeds: a 2, b 2." in shown
    assert "Different scorers" not in shown
    results = json.loads((tmp_path / "out" / "compare.json").read_text())
    tables = {(t["table"], *t["rows"]): t for t in results["tables"]}
    assert list(tables) == [
        ("reconstruction", "taste", "taste"),
        ("likelihood", "salmon", "salmon"),
    ]
    metrics = tables["reconstruction", "taste", "taste"]["metrics"]
    assert metrics["wer"]["utterances"] == 28
    first, second = metrics["wer"]["systems"]
    assert first["difference"] is None and first["low"] < first["value"]
    assert second["value"] < 0.2 < first["value"]
    low, high = second["difference_low"], second["difference_high"]
    assert low < second["difference"] < high < 0
    # Two metrics: Holm doubles the smaller p.
    assert second["p"] == pytest.approx(2 / 2001)
    assert second["p_holm"] == pytest.approx(4 / 2001)
    assert metrics["f0_rmse"]["systems"][1]["p"] == 1
    line = next(line for line in shown.splitlines() if line.startswith("|WER"))
    assert line.count("\\*") == 1
    assert "\\*" not in next(x for x in shown.splitlines() if x.startswith("|F0 RMSE"))
    with open(tmp_path / "out" / "compare.csv", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 2 * 3
    assert float(lines[1]["difference"]) == second["difference"]
    assert lines[0]["difference"] == "" and lines[2]["unit"] == "semitones"


def test_rows_of_one_scoring(systems, capsys):
    folder = systems[0]
    main([f"{folder}:text_only", f"{folder}:taste", "--resamples", "100"])
    shown = capsys.readouterr().out
    assert "# text_only / taste" in shown and "Seeds: text_only 1, taste 2." in shown
    assert "Likelihood" not in shown
    main(["x=" + folder, "y=" + folder, "--rows", "taste", "text_only"])
    shown = capsys.readouterr().out
    assert "Reconstruction: taste" in shown and "Reconstruction: text_only" in shown
    assert "|x " in shown and "y − x" in shown
    main([f"{folder}:taste:0", f"{folder}:taste:1", "--resamples", "100"])
    assert "Seeds: taste:0 1, taste:1 1." in capsys.readouterr().out


def test_names(systems, tmp_path):
    write_scores(tmp_path / "c" / "b", 0.2)
    other = str(tmp_path / "c" / "b")
    assert list(parse_systems(systems)) == ["a", "b"]
    assert list(parse_systems([systems[1], other])) == [systems[1], other]
    assert list(parse_systems([f"{other}:taste", f"{systems[0]}:taste"])) == [
        "b:taste",
        "a:taste",
    ]


def test_different_scorers_are_said(systems, tmp_path, capsys):
    other = write_scores(tmp_path / "c", 0.2, scorer="another")
    main([systems[0], other, "--resamples", "100"])
    expected = "**Different scorers** of words: a: one; c: another"
    assert expected in capsys.readouterr().out


def test_other_references_are_an_error(systems, tmp_path):
    texts = {utt: f"word {utt}" for utt in IDS} | {"u03": "none"}
    other = write_scores(tmp_path / "texts", 0.2, texts)
    with pytest.raises(ValueError, match="u03 is 'word u03' in the one, 'none' in"):
        main([systems[0], other])
    other = write_scores(tmp_path / "ids", 0.2, ids=["v1", "v2"])
    with pytest.raises(ValueError, match="no utterance in common, .* u00 and v1"):
        main([systems[0], other])


def test_scores_without_a_recogniser_have_no_words(systems, tmp_path, capsys):
    path = next((tmp_path / "b").glob("**/utterances.csv"))
    with open(path) as table:
        lines = [{**line, "text": None} for line in csv.DictReader(table)]
    names = [name for name in lines[0] if name != "text"]
    with open(path, "w") as table:
        writer = csv.DictWriter(table, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(lines)
    main([*systems, "--resamples", "100"])
    assert "# a / b" in capsys.readouterr().out


def test_bad_arguments(systems, tmp_path):
    one, two = systems
    cases = {
        (one,): "at least two",
        (one, one): "given twice; name them",
        (one, "nowhere"): "no folder nowhere",
        (one, two, "--rows", "tast"): "has no row 'tast', but original, text_only",
        (f"{one}:taste", f"{two}:salmon"): "no row is shared",
    }
    for arguments, message in cases.items():
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            main(list(arguments))
    write_scores(tmp_path / "a" / "exp" / "scores_other", 0.3)
    with pytest.raises(ValueError, match="several scorings, name one of .*scores_oth"):
        main(systems)
    (tmp_path / "b" / "scores" / "statistics.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match="holds no statistics"):
        main([two, two])


def test_a_metric_without_a_common_utterance_is_left_out(tmp_path, caplog, capsys):
    """One system has F0 of the first half, the other of the second; WER of all."""
    folders = []
    for name, ids in (("a", IDS[:15]), ("b", IDS[15:])):
        folders.append(write_scores(tmp_path / name, 0.3))
        path = tmp_path / name / "statistics.npz"
        content = read_statistics(path)
        for key, value in content.items():
            if key[2] == "f0_rmse":
                content[key] = value.over(ids)
        write_statistics(path, content)
    main(folders)
    assert "WER" in (shown := capsys.readouterr().out) and "F0 RMSE" not in shown
    assert "F0 RMSE: no utterance was scored in all systems; left out" in caplog.text
