"""The mini recipe with few steps, to the end; copied, killed and resumed.

It is run once uninterrupted (``finished``), with all rows, scores and the packed model;
what makes speech is run again with kills.
"""

import contextlib
import hashlib
import json
import os
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
#: All trainings, one row and the continuations.
SPEECH = ["--rows", "taste", "--testsets", "", "--stop_stage", "8"]
#: What the recipe says when it is killed, so many seconds later: in the units of stage
#: 3, while two sub-stages and the language model train, and in stage 6.
KILLS = {
    "stage 3: ": 20,
    "training exp/taste_no_vq": 10,
    "training exp/taste_rvq": 8,
    "stage 6: ": 9,
    "training exp/taslm": 12,
}


def copy_recipes(target: Path) -> Path:
    """A clean checkout in ``target``; returns its mini recipe.

    To save a training its baseline is the text-only model itself, as where there is no
    configuration of a longer one.
    """
    for name in ("egs2", "local", "espnet2_taste"):
        shutil.copytree(
            ROOT / name,
            target / name,
            symlinks=True,
            ignore=shutil.ignore_patterns("data", "dump", "exp", "__pycache__")
            if name == "egs2"
            else None,
        )
    recipe = target / "egs2/taste/mini"
    (recipe / "conf/train_taste_text_only_matched.yaml").unlink()
    return recipe


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
    """Digests of the codes, of the synthesised audio and of what it says."""
    files = []
    for name in ("train", "dev", "test"):
        files += sorted(recipe.glob(f"dump/taste/{name}/**/taste.ark"))
    for row in ("taste", "taslm", "control"):
        for name in ("*.wav", "text"):
            files += sorted(recipe.glob(f"exp/decode/{row}_seed0/**/{name}"))
    return {
        str(path.relative_to(recipe)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A recipe that was run to the end, and what it printed."""
    recipe = copy_recipes(tmp_path_factory.mktemp("mini"))
    return recipe, run(recipe)


def kill(recipe: Path, said: str, seconds: float) -> None:
    """Run the recipe; SIGKILL to all of it, ``seconds`` after it has ``said`` this."""
    process = subprocess.Popen(
        [*FAST, *SPEECH],
        cwd=recipe,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines = []
    for line in process.stdout:
        lines.append(line)
        if said in line:
            break
    else:
        pytest.fail(f"it never said '{said}'\n{''.join(lines)[-4000:]}")
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)
    assert process.returncode is None, "ended before it was killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.stdout.close()
    process.wait()
    time.sleep(2)  # jobs notice that the recipe has gone


@pytest.mark.nightly
def test_killed_and_resumed(finished):
    """Most of what was made is deleted; then SIGKILL at five moments: all is as before.

    Nothing else is made again: what is left is known by its content.
    """
    source, expected = finished[0], fingerprint(finished[0])
    copy = source.parent / "killed"
    shutil.copytree(source, copy, symlinks=True)
    for name in ("dump/units", "dump/taste", "exp/decode"):
        shutil.rmtree(copy / name)
    for name in ("taste_no_vq", "taste_rvq", "taslm"):
        shutil.rmtree(copy / "exp" / name)
    left = {path: path.stat().st_mtime_ns for path in copy.glob("exp/*/*.pth")}
    for said, seconds in KILLS.items():
        kill(copy, said, seconds)
    run(copy, *SPEECH)
    assert len(expected) >= 3 + 3 * 4  # codes of three sets; three rows
    assert fingerprint(copy) == expected
    assert left.items() <= {p: p.stat().st_mtime_ns for p in left}.items()


@pytest.mark.nightly
def test_recipe_copy_killed_and_resumed(finished, tmp_path):
    """cp -r, another local/data.sh, SIGKILL at five moments: the same codes and audio.

    The copy reads the same audio from a folder of wav + transcript, so its run, killed
    and restarted, must end with the files of the original's uninterrupted run.
    """
    source, expected = finished[0], fingerprint(finished[0])
    copy = source.parent / "other"
    shutil.copytree(source, copy, symlinks=True)
    for name in ("data", "dump", "exp"):
        shutil.rmtree(copy / name)
    corpus = tmp_path / "corpus"
    shutil.copytree(source / "data", corpus)
    (copy / "local/data.sh").write_text(
        "#!/usr/bin/env bash\nset -e\nmkdir -p data\n"
        f"cp -r {corpus}/train {corpus}/dev {corpus}/test {corpus}/local data/\n"
        f"sed -i 's# data/# {corpus}/#' data/*/wav.scp\n"
    )
    for said, seconds in KILLS.items():
        kill(copy, said, seconds)
    run(copy, *SPEECH)
    assert fingerprint(copy) == expected


def test_end_to_end(finished):
    recipe, output = finished
    assert (recipe / "exp/RESULTS.md").read_text() in output
    assert (recipe / "exp/scores/report.html").stat().st_size > 10_000
    results = json.loads((recipe / "exp/scores/test/results.json").read_text())
    rows = {"original", "copy", "text_only", "no_vq", "taste"}
    assert rows <= results["reconstruction"].keys()
    for name in rows:
        assert results["reconstruction"][name]["metrics"]["wer"]["mean"] >= 0
    assert {"taslm", "control"} <= results["continuation"].keys()
    tasks = [row for row in results["likelihood"] if row.startswith("salmon")]
    assert len(tasks) == 1 + 6
    assert {"tstorycloze", "sblimp"} <= results["likelihood"].keys()
    assert "web_questions" in results["qa"]
    assert not results["upper_bounds"]  # an encoder that only measures
    for name in ("taslm", "control"):
        folder = recipe / f"exp/decode/{name}_seed0/test"
        questions = (folder / "judge_prompts.jsonl").read_text().splitlines()
        assert len(questions) == len((folder / "text").read_text().splitlines())
    maps = {path.parent.name for path in recipe.glob("exp/taste_rvq/att_ws/*/1ep.png")}
    assert len(maps) == 3
    made = fingerprint(recipe)
    again = run(recipe)
    assert again.count("done before") >= 30 and "training exp" not in again
    assert fingerprint(recipe) == made


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


@pytest.mark.nightly
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
