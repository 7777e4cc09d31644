"""The mini recipe end to end with few steps; copied; killed and resumed."""

import hashlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

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


def test_end_to_end(finished):
    recipe, output = finished
    assert "finished in" in output
    assert (recipe / "RESULTS.md").stat().st_size > 500
    assert (recipe / "exp/scores/report.html").stat().st_size > 10_000
    assert fingerprint(recipe)
    again = run(recipe)
    assert again.count("done before") >= 20 and "training exp" not in again


def test_recipe_copy(finished, tmp_path):
    """cp -r, a local/data.sh that links to a folder of wav + transcript, all stages."""
    source, _ = finished
    root = source.parents[2]
    copy = root / "egs2/taste/other"
    shutil.copytree(source, copy, symlinks=True)
    failed = subprocess.run(FAST, cwd=copy, capture_output=True, text=True, check=False)
    assert "data/ was made by recipe 'mini'" in failed.stderr
    for name in ("data", "dump", "exp"):
        shutil.rmtree(copy / name)
    shutil.copytree(source / "data", tmp_path / "corpus")
    (copy / "local/data.sh").write_text(
        "#!/usr/bin/env bash\nset -e\nmkdir -p data\n"
        f"cp -r {tmp_path}/corpus/train {tmp_path}/corpus/dev {tmp_path}/corpus/test "
        f"{tmp_path}/corpus/local data/\n"
        f"sed -i 's# data/# {tmp_path}/corpus/#' data/*/wav.scp\n"
    )
    run(copy, "--stage", "1", "--stop_stage", "9")
    assert (copy / "RESULTS.md").exists()


def test_killed_and_resumed(finished, tmp_path):
    """SIGKILL at five moments; the restarted run makes the same files."""
    reference, _ = finished
    recipe = copy_recipes(tmp_path)
    for seconds in (7, 23, 41, 67, 83):
        process = subprocess.Popen(
            FAST,
            cwd=recipe,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(2)
    run(recipe)
    assert fingerprint(recipe) == fingerprint(reference)
