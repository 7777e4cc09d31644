"""The driver with a fake recipe, whose runs only write scores."""

import sys

import pytest
import yaml

from espnet2_taste.bin.ablate import main, training_options

#: Of a hundred words, 10 are wrong with a quantizer fsq, else 40.
RUN = """#!{python}
import sys, numpy as np
from pathlib import Path
from espnet2_taste.evaluate.results import (average_seeds, write_results)
from espnet2_taste.evaluate.rows import Row
from espnet2_taste.evaluate.column import to_json
from espnet2_taste.evaluate.scorers.words import WordsScorer
from espnet2_taste.evaluate.statistics import Statistics

options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
with open("calls", "a") as file:
    file.write(repr(options) + "\\n")
if "broken" in options["--taste_args"]:
    sys.exit("error: unknown quantizer broken")
rate = 0.1 if "fsq" in options["--taste_args"] else 0.4
ids = [f"u{{i:02d}}" for i in range(40)]
rng = np.random.default_rng(int(options["--seed"]))
rows = []
for seed in ["0", "1"]:
    errors = rng.binomial(10, rate, len(ids))
    row = Row("taste", seed)
    counts = np.stack([errors, errors * 0 + 10], 1)
    row.statistics = {{"wer": Statistics("ratio", ids, counts)}}
    row.lines = {{utt: dict(text="a b") for utt in ids}}
    rows.append(row)
results = {{"reconstruction": average_seeds(rows)}}
results |= {{"scorers": {{"words": "one"}}, "not_computed": {{}}}}
results["columns"] = {{"reconstruction": to_json(WordsScorer.columns)}}
folder = Path("exp/scores_" + options["--tag"]) / "test"
folder.mkdir(parents=True, exist_ok=True)
write_results(folder, results, {{"reconstruction": rows}})
"""
CHOICES = {
    "recipe": None,
    "fsq": {"rvq": {"quantizer": "fsq", "quantizer_conf": {"levels": [2, 2]}}},
    "pitch": {"no_vq": {"frontend": "mel_pitch", "encoder_conf.frozen": True}},
}


@pytest.fixture
def ablate(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exp/taste_rvq").mkdir(parents=True)
    (tmp_path / "exp/taste_rvq/config.yaml").write_text("seed: 0\n")
    (tmp_path / "run.sh").write_text(RUN.format(python=sys.executable))
    (tmp_path / "run.sh").chmod(0o755)

    def run(choices, *options, seeds=(0,)):
        conf = {"seeds": list(seeds), "options": {"meters": "frames"}}
        conf["choices"] = choices
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(conf, sort_keys=False))
        main([str(path), *options])

    return run


def given(options):
    """The trained sub-stages that a run takes."""
    names = ("text_only", "no_vq", "taste", "baseline")
    return {n: options[f"--{n}_exp"] for n in names if f"--{n}_exp" in options}


def test_trained_scored_and_compared(ablate, tmp_path, capsys):
    ablate(CHOICES, "--output", "ABLATION.md", "--fast", "true", seeds=[0, 1])
    text = (tmp_path / "exp/mine/ablation.md").read_text()
    assert text in capsys.readouterr().out
    assert text == (tmp_path / "ABLATION.md").read_text()
    assert "|fsq, run 2" in text and "Seeds: recipe 4, fsq 4, pitch 4." in text
    wer = next(line for line in text.splitlines() if line.startswith("|WER ↓"))
    assert wer.count("\\*") == 1  # fsq differs, pitch does not

    runs = [eval(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert all(r["--meters"] == "frames" and r["--fast"] == "true" for r in runs)
    own, fsq, pitch, own1, fsq1, pitch1 = runs
    trained = {"text_only": "exp/taste_text_only", "baseline": "exp/taste_text_only"}
    assert given(own1) == given(pitch) == given(pitch1) == trained
    assert given(fsq) == trained | {"no_vq": "exp/taste_no_vq"}
    assert given(own) == given(fsq) | {"taste": "exp/taste_rvq"}
    assert given(fsq1) == trained | {"no_vq": "exp/taste_no_vq_mine_recipe_seed1"}
    # Stage 4 extracted the features of the recipe's frontend.
    assert pitch["--feats_type"] == "raw" and "--feats_type" not in fsq


def test_options_of_training():
    changes = CHOICES["fsq"]["rvq"] | {"encoder_conf.value_source": [0, 1], "a": True}
    assert training_options(changes) == (
        '--quantizer fsq --quantizer_conf {"levels":[2,2]} '
        "--encoder_conf value_source=[0,1] --a true"
    )


def test_a_failed_run_is_reported_and_the_others_go_on(ablate, capsys):
    choices = {"recipe": None, "b": {"rvq": {"quantizer": "broken"}}}
    with pytest.raises(SystemExit, match="failed: mine_b_seed0$"):
        ablate(choices | {"fsq": CHOICES["fsq"]})
    assert "Seeds: recipe 2, fsq 2." in capsys.readouterr().out


def test_bad_choices(ablate, tmp_path):
    for choices in ({"a": CHOICES["fsq"]}, {"recipe": {}, "a": {"vq": {}}}):
        with pytest.raises(ValueError, match="mine.yaml: choice a: the first must be"):
            ablate(choices)
    (tmp_path / "exp/taste_rvq/config.yaml").unlink()
    with pytest.raises(FileNotFoundError, match="run ./run.sh --stop_stage 5 first"):
        ablate(CHOICES)
