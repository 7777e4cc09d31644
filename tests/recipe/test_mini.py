"""The mini recipe end to end with few steps; copied; killed and resumed."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.recipe
FAST = ["./run.sh", "--fast", "true"]


def copy_recipes(target: Path) -> Path:
    """A clean checkout in ``target``; returns its mini recipe."""
    for name in ("egs2", "local", "espnet2_taste"):
        shutil.copytree(
            ROOT / name,
            target / name,
            symlinks=True,
            ignore=shutil.ignore_patterns("data", "dump", "exp", "__pycache__")
            if name == "egs2"
            else None,
        )
    return target / "egs2/taste/mini"


def run(recipe: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*FAST, *arguments],
        cwd=recipe,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def fingerprint(recipe: Path) -> dict[str, str]:
    """Digests of the codes and of the synthesised audio."""
    files = sorted(recipe.glob("dump/taste/log/output.*/taste.ark"))
    files += sorted(recipe.glob("exp/decode/**/*.wav"))
    return {
        str(path.relative_to(recipe)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished fast run and what it printed."""
    recipe = copy_recipes(tmp_path_factory.mktemp("mini"))
    return recipe, run(recipe)


def read_results(recipe: Path) -> dict:
    """results.json, apart from times and places."""
    results = json.loads((recipe / "exp/scores/test/results.json").read_text())
    return {k: v for k, v in results.items() if k not in ("rtf", "folders", "ref_dir")}


def test_end_to_end(finished):
    recipe, output = finished
    assert "finished in" in output and "nothing is uploaded" in output
    assert (recipe / "exp/RESULTS.md").read_text() in output
    assert (recipe / "exp/scores/report.html").stat().st_size > 10_000
    assert fingerprint(recipe)
    results = read_results(recipe)
    rows = {"original", "copy", "text_only", "no_vq", "taste"}
    assert rows <= results["reconstruction"].keys()
    for name in rows:
        assert results["reconstruction"][name]["metrics"]["wer"]["mean"] >= 0
    assert {"taslm", "control"} <= results["continuation"].keys()
    tasks = [row for row in results["likelihood"] if row.startswith("salmon")]
    assert len(tasks) == 1 + 6 and {"tstorycloze", "sblimp"} <= set(
        results["likelihood"]
    )
    assert "web_questions" in results["qa"]
    for name in ("taslm", "control"):
        folder = recipe / f"exp/decode/{name}_seed0/test"
        questions = (folder / "judge_prompts.jsonl").read_text().splitlines()
        assert len(questions) == len((folder / "text").read_text().splitlines())
    maps = {path.parent.name for path in recipe.glob("exp/taste_rvq/att_ws/*/1ep.png")}
    assert len(maps) == 3
    again = run(recipe)
    assert again.count("done before") >= 30 and "training exp" not in again


def test_packed_model_and_what_would_be_uploaded(finished, tmp_path, monkeypatch):
    recipe, _ = finished
    packed = tmp_path / "packed.zip"
    shutil.copy(recipe / "exp/packed.zip", packed)
    monkeypatch.chdir(tmp_path)  # nothing of the recipe's folder
    from espnet2_taste.inference import SpeechToTaste

    tokens = SpeechToTaste.from_pretrained(str(packed))(
        np.random.default_rng(0).normal(0, 0.1, 32000), "the red lamp"
    )
    assert tokens.codes.shape == (3, 4)
    upload = ["--stage", "11", "--hf_repo", "someone/taste", "--dry_run", "true"]
    shown = run(recipe, *upload)
    assert "someone/taste" in shown and "README.md" in shown


def test_recipe_copy_killed_and_resumed(finished, tmp_path):
    """cp -r, another local/data.sh, SIGKILL at five moments: the same codes and audio.

    The copy reads the same audio from a folder of wav + transcript, so its run, killed
    and restarted, must end with the files of the original's uninterrupted run.
    """
    source, _ = finished
    copy = source.parent / "other"
    shutil.copytree(source, copy, symlinks=True)
    failed = subprocess.run(FAST, cwd=copy, capture_output=True, text=True, check=False)
    assert "data/ was made by recipe 'mini'" in failed.stderr
    for name in ("data", "dump", "exp"):
        shutil.rmtree(copy / name)
    corpus = tmp_path / "corpus"
    shutil.copytree(source / "data", corpus)
    (copy / "local/data.sh").write_text(
        "#!/usr/bin/env bash\nset -e\nmkdir -p data\n"
        f"cp -r {corpus}/train {corpus}/dev {corpus}/test {corpus}/local data/\n"
        f"sed -i 's# data/# {corpus}/#' data/*/wav.scp\n"
    )
    options = ["--testsets", ""]  # the copy's data.sh makes none
    for seconds in random.Random(0).sample(range(5, 100), 5):
        process = subprocess.Popen(
            FAST + options,
            cwd=copy,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        time.sleep(2)  # jobs notice that the recipe has gone
    run(copy, *options, "--stage", "1", "--stop_stage", "9")
    assert (copy / "exp/RESULTS.md").exists()
    assert fingerprint(copy) == fingerprint(source)
    ours, theirs = read_results(copy), read_results(source)
    for table in ("reconstruction", "continuation", "codes", "scorers"):
        assert ours[table] == theirs[table]


def test_ablation(finished):
    """The recipe against one with another quantiser and several value layers: only
    what differs from it is trained."""
    recipe, _ = finished
    conf = yaml.safe_load((recipe / "conf/ablation.yaml").read_text())
    changes = conf["choices"]["fsq"]["rvq"] | conf["choices"]["layers"]["no_vq"]
    conf |= {"choices": {"recipe": None, "both": {"no_vq": changes}}, "seeds": [0]}
    path = recipe / "conf/short.yaml"
    path.write_text(yaml.safe_dump(conf, sort_keys=False))
    ablate = [sys.executable, "-m", "espnet2_taste.bin.ablate", "conf/short.yaml"]
    done = subprocess.run(
        [*ablate, "--fast", "true"],
        cwd=recipe,
        env=dict(os.environ, PYTHONPATH=str(recipe.parents[2])),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "Seeds: recipe 1, both 1." in done.stdout
    trained = {path.parent.name for path in recipe.glob("exp/taste_*_short_*/.done")}
    assert trained == {"taste_no_vq_short_both_seed0", "taste_rvq_short_both_seed0"}
