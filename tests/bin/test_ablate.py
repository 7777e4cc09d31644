"""The runner with a fake recipe, whose runs only write scores."""

import json
import sys

import pytest
import yaml

from espnet2_taste.bin.ablate import main

#: Word errors a hundred by what is in the tag; the row text_only has 50.
RUN = """#!{python}
import sys, numpy as np, yaml
from pathlib import Path
from espnet2_taste.evaluate.results import write_results
from espnet2_taste.evaluate.scorers.rows import Row
from espnet2_taste.evaluate.scores import RowScores, average_seeds
from espnet2_taste.evaluate.statistics import Statistics
from espnet2_taste.evaluate.wer import WordErrors

options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
with open("calls", "a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
if "--tag" not in options:
    Path("exp/taste_rvq").mkdir(parents=True, exist_ok=True)
    Path("exp/taste_rvq/config.yaml").write_text("seed: 0\\n")
    sys.exit()
tag = options["--tag"]
conf = yaml.safe_load(open(options["--taste_config"] % "rvq"))
if conf["quantizer"] == "broken":
    sys.exit("error: unknown quantizer broken\\nmore output")
rate = {{"rvq": 0.4, "fsq": 0.1}}[conf["quantizer"]]
ids = [f"u{{i:02d}}" for i in range(40)]
rng = np.random.default_rng(int(options["--seed"]))
rows = []
for name in ["original", *options["--rows"].split()]:
    for seed in ["0", "1"] if name == "taste" else [""]:
        errors = rng.binomial(10, rate if name == "taste" else 0.5, len(ids))
        row = RowScores(Row(name, seed, Path(".")), errors=WordErrors())
        row.statistics = {{
            "wer": Statistics("ratio", ids, np.stack([errors, errors * 0 + 10], 1)),
            "f0_rmse": Statistics("rms", ids, np.full((len(ids), 2), 2.0)),
        }}
        keys = dict(row=name, seed=seed)
        row.utterances = [keys | {{"utt": utt, "text": "a b"}} for utt in ids]
        rows.append(row)
tables = {{"reconstruction": rows}}
results = {{"reconstruction": average_seeds(rows)}}
results |= {{"scorers": {{"words": "one"}}, "not_computed": {{}}}}
folder = Path("exp/scores_" + tag)
folder.mkdir(parents=True, exist_ok=True)
write_results(folder, results, tables)
"""
ABLATION = {
    "axes": {
        "quantizer": {
            "rvq": {},
            "fsq": {"rvq": {"quantizer": "fsq"}},
            "broken": {"rvq": {"quantizer": "broken"}},
        },
        "values": {"one": {}, "two": {"no_vq rvq": {"encoder_conf.value_source": 2}}},
    },
    "seeds": [0, 1],
}


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()
    for name in ("text_only", "no_vq", "rvq"):
        conf = {"quantizer": "rvq", "encoder_conf": {"value_source": 1}}
        path = tmp_path / f"conf/train_taste_{name}.yaml"
        path.write_text(yaml.safe_dump(conf))
    (tmp_path / "run.sh").write_text(RUN.format(python=sys.executable))
    (tmp_path / "run.sh").chmod(0o755)

    def write(**changes):
        path = tmp_path / "conf/mine.yaml"
        path.write_text(yaml.safe_dump(ABLATION | changes, sort_keys=False))
        return ["conf/mine.yaml", "--resamples", "500"]

    return write


def calls(folder):
    lines = (folder / "calls").read_text().splitlines()
    return [
        dict(zip(x.split()[::2], x.split()[1::2], strict=False)) | {"": x}
        for x in lines
    ]


def test_trained_scored_and_answered(recipe, tmp_path, capsys):
    axes = {k: dict(v) for k, v in ABLATION["axes"].items()}
    del axes["quantizer"]["broken"]
    main(
        [
            *recipe(axes=axes, options={"meters": "frames"}),
            "--output",
            "ABLATION.md",
            "--fast",
            "true",
        ]
    )
    shown = capsys.readouterr().out
    text = (tmp_path / "exp/mine/ablation.md").read_text()
    assert text in shown and text == (tmp_path / "ABLATION.md").read_text()
    assert "`python -m espnet2_taste.bin.ablate conf/mine.yaml --resamples" in text
    assert "training seeds: 0, 1" in text and "- words: one\n" in text
    assert "**fsq** against rvq: better in WER; not decided in F0 RMSE." in text
    assert "**two** against one: not decided in WER, F0 RMSE." in text

    made = calls(tmp_path)
    assert len(made) == 1 + 8 and "--tag" not in made[0]
    assert all("--meters frames --" in call[""] for call in made)
    assert all(call[""].endswith("--fast true") for call in made[1:])
    assert ["copy text_only taste" in call[""] for call in made].count(True) == 1

    results = json.loads((tmp_path / "exp/mine/ablation.json").read_text())
    wer = results["variants"]["fsq-two"]["metrics"]["wer"]
    assert len(wer["values"]) == 2 and 0.05 < wer["mean"] < 0.15
    assert results["reference"]["text_only"]["metrics"]["wer"]["mean"] > 0.4
    question = results["questions"]["quantizer"][0]["tables"][0]
    assert question["seeds"] == [8, 8]  # two trainings, two values, two samplings
    rvq, fsq = question["metrics"]["wer"]["systems"]
    low, high = fsq["difference_interval"]
    assert low <= fsq["difference"] <= high < 0
    assert results["questions"]["quantizer"][0]["answer"]["fsq"]["better"] == ["wer"]


def test_a_failed_variant_is_reported_and_the_others_go_on(recipe, tmp_path, capsys):
    axes = {"quantizer": {**ABLATION["axes"]["quantizer"]}, "values": {"one": {}}}
    axes["quantizer"]["again"] = axes["quantizer"]["fsq"]
    with pytest.raises(SystemExit, match="1 of 4 systems failed"):
        main(recipe(axes=axes, seeds=[0], metrics=["wer"]))
    text = capsys.readouterr().out
    assert "mine-broken-one-seed0: error: unknown quantizer broken (log: exp" in text
    assert "**fsq** against rvq: better in WER." in text and "F0" not in text
    assert "**again** against rvq: better in WER." in text
    assert "**again** against fsq: not decided in WER." in text
    assert text.count("intervals of a bootstrap") == 1
    log = (tmp_path / "exp/mine/mine-broken-one-seed0/run.log").read_text()
    assert "more output" in log


def test_what_needs_a_failed_one_is_not_run(recipe, tmp_path, capsys):
    broken = {"no_vq rvq": {"quantizer": "broken"}}
    mended = {"no_vq": {"quantizer": "broken"}, "rvq": {"quantizer": "rvq"}}
    axes = {"values": {"one": {}, "broken": broken, "mended": mended}}
    with pytest.raises(SystemExit, match="2 of 3 systems failed"):
        main(recipe(axes=axes, seeds=[0]))
    text = capsys.readouterr().out
    assert "not run, as it needs mine-broken-seed0, which failed" in text
    assert "Not answered: fewer than two choices" in text
    assert len(calls(tmp_path)) == 3
    axes = {"values": {"broken": broken}}
    with pytest.raises(SystemExit, match="1 of 1 systems failed"):
        main(recipe(axes=axes, seeds=[0]))
    assert "Not answered" in capsys.readouterr().out


def test_outside_a_recipe(recipe, tmp_path):
    options = recipe()
    (tmp_path / "conf/train_taste_no_vq.yaml").unlink()
    with pytest.raises(FileNotFoundError, match="run this in a recipe folder"):
        main(options)
