"""Steps of the pipeline script, with fakes: marks, failures, messages."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """#!/usr/bin/env bash
set -e -u -o pipefail
nj=2 inference_nj=2 shard_size=2 python=python3 infer_cmd=utils/run.pl
. utils/steps.sh
made() { echo "made $*" >> calls; if [ "$1" = bad ]; then false; fi; echo x > out; }
"""


@pytest.fixture
def bash(tmp_path):
    """Runs lines of a pipeline script in an empty recipe folder."""
    (tmp_path / "utils").symlink_to(ROOT / "local")

    def run(lines: str) -> subprocess.CompletedProcess:
        (tmp_path / "script.sh").write_text(SCRIPT + lines)
        return subprocess.run(
            ["bash", "script.sh"],
            cwd=tmp_path,
            env=dict(os.environ, PYTHONPATH=str(ROOT)),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_done_step_is_skipped_until_something_changes(bash, tmp_path):
    (tmp_path / "conf").write_text("a: 1\n")
    step = "run_step exp/.done conf made it\n"
    assert "done before" not in bash(step).stdout
    assert "done before: exp/.done" in bash(step).stdout
    (tmp_path / "conf").touch()
    assert "done before" in bash(step).stdout
    (tmp_path / "conf").write_text("a: 2\n")
    assert "done before" not in bash(step).stdout
    assert "done before" not in bash(step.replace("it", "other")).stdout
    assert len((tmp_path / "calls").read_text().splitlines()) == 3


def test_failed_step_leaves_no_mark(bash, tmp_path):
    assert bash("run_step exp/.done '' made bad\n").returncode != 0
    assert not (tmp_path / "exp/.done").exists()
    done = bash("run_step exp/.done absent.yaml made it\n")
    assert "no absent.yaml, which .done needs" in done.stderr
    assert "run stage 5 first" in bash("need exp/x 5\n").stderr


def test_failed_job_shows_its_log(bash):
    done = bash("job utils/run.pl JOB=1:2 j.JOB.log bash -c 'echo why JOB; exit 1'\n")
    assert done.returncode == 1 and "why 1" in done.stderr


def test_parallel(bash, tmp_path):
    assert bash("in_parallel 'made a' 'made b' 'made c'\n").returncode == 0
    assert len((tmp_path / "calls").read_text().splitlines()) == 3
    assert bash("in_parallel 'made bad' 'made b'\n").returncode == 1


def test_sharded(bash, tmp_path):
    (tmp_path / "t").write_text("a 1\nb 2\nc 3\n")
    command = 'bash -c \'mkdir -p "$4"; sed "s/$/ X/" "$2" > "$4/units.scp"\' _'
    done = bash(f"sharded dir t {command}\ndatadir merge dir . units.scp\n")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "units.scp").read_text() == "a 1 X\nb 2 X\nc 3 X\n"


def run_recipe(recipe: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["./run.sh", *arguments],
        cwd=recipe,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--stage", "2"], "no data/train/wav.scp: run stage 1 first"),
        (["--stage", "3"], "no dump/raw/org/train/utt2num_samples: run stage 2"),
        (["--stage", "7"], "no dump/taste/train/taste.scp: run stage 6 first"),
        (["--stage", "9"], "no exp/decode/copy/test/.done: run stage 6 first"),
        (["--stage", "10"], "no exp/scores/test/results.json: run stage 9 first"),
        (["--stage", "11", "--hf_repo", "a/b"], "no exp/packed.zip: run stage 10"),
        (["--stages", "7"], "unknown option --stages"),
        (["now"], "no positional arguments, but got 'now'"),
        (["--speaker_type", "campplus"], "is not trained here: give --speaker_model"),
        (["--unit_type", "s3"], "s3 is not trained here: give --units_model"),
        (["--vocoder_type", "cosyvoice"], "not trained here: give --vocoder_model"),
        (["--unit_type", "s3", "--units_model", "x"], "give --vocoder_model"),
    ],
)
def test_messages(recipe, arguments, message):
    done = run_recipe(recipe, *arguments)
    assert done.returncode != 0 and message in done.stderr


def test_nothing_is_uploaded_unasked(recipe):
    done = run_recipe(recipe, "--stage", "11")
    assert done.returncode == 0
    assert "nothing is uploaded (--hf_repo user/name)" in done.stdout


def test_help_names_every_option_and_stage(recipe):
    shown = run_recipe(recipe, "--help").stdout
    text = (recipe / "taste.sh").read_text()
    options = re.findall(r"^([a-z]\w*)=.*#", text.split("help_message=")[0], re.M)
    assert len(options) > 40
    assert all(f"  --{name} " in shown for name in options)
    assert all(re.search(rf"\b{stage} \w", shown) for stage in range(1, 12))


def test_data_of_another_recipe(recipe):
    (recipe / "data").mkdir()
    (recipe / "data/.recipe").write_text("other\n")
    done = run_recipe(recipe)
    assert done.returncode == 1
    assert "data/ was made by recipe 'other'" in done.stderr
    assert "rm -r data dump exp" in done.stderr
