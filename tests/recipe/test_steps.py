"""Steps of the pipeline script, with fakes: marks, failures, messages."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """#!/usr/bin/env bash
set -e -u -o pipefail
nj=2 inference_nj=2 shard_size=2 python=python3 expdir=exp ngpu=0 num_nodes=1
infer_cmd=utils/run.pl cuda_cmd=utils/run.pl overwrite=false fast=false
stage=1 stop_stage=9 skip_stages="3 4"
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


def test_failed_step_leaves_no_mark(bash, tmp_path):
    step = "run_step exp/.done '' out made it\n"
    assert "done before: exp/.done" in bash(step + step).stdout
    (tmp_path / "out").unlink()
    assert "done before" not in bash(step).stdout
    assert bash(step.replace("it", "bad")).returncode != 0
    assert not (tmp_path / "exp/.done").exists()
    assert len((tmp_path / "calls").read_text().splitlines()) == 3
    done = bash("run_step exp/.done absent.yaml out made it\n")
    assert "no absent.yaml, which exp/.done needs" in done.stderr
    assert "run stage 5 first" in bash("need exp/x 5\n").stderr


def test_failed_job_shows_its_log(bash):
    done = bash("job utils/run.pl JOB=1:2 j.JOB.log bash -c 'echo why JOB; exit 1'\n")
    assert done.returncode == 1 and "why 1" in done.stderr


def test_on_a_cluster_the_host_that_submits_computes_nothing(bash, tmp_path):
    lines = """
submit() { echo "$*" > submitted; "${@:4}"; }
on_cpus log/a.log made here
train_cmd=submit
on_cpus log/b.log made there
"""
    done = bash("train_cmd=utils/run.pl" + lines)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls").read_text() == "made here\nmade there\n"
    submitted = (tmp_path / "submitted").read_text()
    assert submitted == "--num_threads 2 log/b.log made there\n"
    assert "log/b.log" in done.stdout and "log/a.log" not in done.stdout


def test_background(bash, tmp_path):
    lines = "background made a\nbackground made b\nbackground made c\nwait_for_all\n"
    assert bash(lines).returncode == 0
    assert len((tmp_path / "calls").read_text().splitlines()) == 3
    assert (
        bash("background made bad\nbackground made b\nwait_for_all\n").returncode == 1
    )


def test_ends_in_the_background_are_noted_as_they_come(bash):
    # numbers of processes come again: whoever asks late may be told of another
    lines = """nj=1
background bash -c 'exit 3'
background bash -c 'exit 0'
echo "${background_failed} ${#background_pids[@]}"
wait_for_all
"""
    done = bash(lines)
    assert done.stdout.split() == ["true", "1"] and done.returncode == 1


def test_stages_that_are_skipped(bash):
    lines = "stage_2() { echo two; }\nstage_3() { echo three; }\n"
    done = bash(lines + "run_stage 2 title\nrun_stage 3 title\nrun_stage 10 title\n")
    assert done.returncode == 0 and "stage 2: title" in done.stdout
    assert "two" in done.stdout and "three" not in done.stdout


SHARD = """import sys
from argparse import Namespace
from pathlib import Path
from espnet2_taste.io.shards import Shard
output_dir = Path(sys.argv[4])
args = Namespace(key_file=sys.argv[2], output_dir=output_dir, batch_size=1)
keys = [line.split()[0] for line in open(sys.argv[2])]
shard = Shard(args, tables=["units"])
if not shard.done:
    for batch in shard.batches(keys):
        for key in batch:
            if key == "c" and Path("kill").exists():
                sys.exit("killed")
            print("doing", key, file=open("calls", "a"))
            shard.write(key, {"units": f"{key} X"})
"""


def test_killed_shards_go_on(bash, tmp_path):
    """The first shard was done: it is not touched. The second goes on in its middle."""
    (tmp_path / "work.py").write_text(SHARD)
    (tmp_path / "t").write_text("a 1\nb 2\nbb 3\nc 4\n")
    (tmp_path / "kill").touch()
    lines = "work() { sharded dir t python3 work.py; datadir merge dir dir; }\n"
    lines += "run_step dir/.done t dir/units work\n"
    assert bash(lines).returncode == 1
    first = tmp_path / "dir/output.1"
    before = {path: path.stat().st_mtime_ns for path in (first, *first.iterdir())}
    assert first / ".done" in before
    (tmp_path / "kill").unlink()
    done = bash(lines)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    done = (tmp_path / "calls").read_text().split()[1::2]
    assert sorted(done) == ["a", "b", "bb", "c"]
    assert (tmp_path / "dir/units").read_text() == "a a X\nb b X\nbb bb X\nc c X\n"
    (tmp_path / "dir/units").unlink()  # what was lost is made again
    assert bash(lines).returncode == 0
    assert len((tmp_path / "calls").read_text().splitlines()) == 8


TRAIN = """train_it() {
    run_step exp/m/.done "conf.yaml data" exp/m/model.pth train exp/m data fake --x 1
}
train_it
"""
FAKE = """import sys
from pathlib import Path
dir = Path(sys.argv[sys.argv.index("--output_dir") + 1])
print("training", file=open("calls", "a"))
for path in (dir / "checkpoint.pth", dir / "model.pth"):
    path.write_text(path.read_text() + "+" if path.exists() else "1")
"""


def test_no_experiment_is_deleted_unasked(bash, tmp_path):
    (tmp_path / "fake.py").write_text(FAKE)
    (tmp_path / "data").write_text("1")
    (tmp_path / "conf.yaml").write_text("max_epoch: 1")
    model = tmp_path / "exp/m/model.pth"
    done = bash(TRAIN)
    assert done.returncode == 0, done.stderr
    assert "done before" in bash(TRAIN).stdout
    (tmp_path / "conf.yaml").write_text("max_epoch: 2")  # the program looks into it
    assert bash(TRAIN).returncode == 0 and model.read_text() == "1+"
    (tmp_path / "data").write_text("2")
    done = bash(TRAIN)
    assert done.returncode == 1 and model.read_text() == "1+"
    assert (
        "exp/m was trained with other contents of data: train into a new" in done.stderr
    )
    assert "--overwrite true" in done.stderr
    (tmp_path / "data").write_text("1")
    assert bash(TRAIN).returncode == 0 and model.read_text() == "1++"
    (tmp_path / "data").write_text("2")
    assert bash("overwrite=true\n" + TRAIN).returncode == 0 and model.read_text() == "1"
    (tmp_path / "exp/m/checkpoint.pth").unlink()  # killed before the first epoch ended
    (tmp_path / "data").write_text("3")
    assert bash(TRAIN).returncode == 0


def test_what_fast_trained_is_replaced(bash, tmp_path):
    (tmp_path / "fake.py").write_text(FAKE)
    (tmp_path / "data").write_text("1")
    (tmp_path / "conf.yaml").write_text("a: 1")
    assert bash("fast=true\n" + TRAIN).returncode == 0
    (tmp_path / "data").write_text("2")
    assert bash(TRAIN).returncode == 0
    assert (tmp_path / "exp/m/model.pth").read_text() == "1"


def run_recipe(
    recipe: Path, *arguments: str, script: str = "run.sh"
) -> subprocess.CompletedProcess:
    return subprocess.run(
        [f"./{script}", *arguments],
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
        (["--stage", "9"], "no dump/raw/test/.done: run stage 3 first"),
        (["--stage", "10"], "no exp/scores/test/results.json: run stage 9 first"),
        (["--stage", "11", "--hf_repo", "a/b"], "no exp/packed.zip: run stage 10"),
        (["--stage", "12"], "--stage 12: the last stage is 11"),
        (["--max_wav_duration", "long"], "takes a number, not 'long'"),
        (["--grammar", "./x.jsgf"], "--grammar: no ./x.jsgf"),
        (["--testsets", "a:salmon=/no/folder"], "--testsets: no /no/folder"),
        (["--speaker_model", "./x.onnx"], "--speaker_model: no ./x.onnx"),
        (["--asr_config", "conf/asr.yaml"], "--asr_config: no conf/asr.yaml"),
        (["--taste_exp", "exp/other"], "--taste_exp: no exp/other"),
        (["--download_model", "./x.zip"], "no ./x.zip"),
        (["--stages", "7"], "unknown option --stages"),
        (["now"], "no positional arguments, but got 'now'"),
        (["--speaker_type", "campplus"], "is not trained here: give --speaker_model"),
        (["--unit_type", "s3"], "s3 is not trained here: give --units_model"),
        (["--vocoder_type", "cosyvoice"], "not trained here: give --vocoder_model"),
        (["--unit_type", "s3", "--units_model", "x"], "give --vocoder_model"),
        (
            ["--speaker_type", "campplus", "--pretrained", "paper"],
            "campplus.onnx (python -m espnet2_taste.bin.download paper)",
        ),
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
    text = (recipe / "utils/options.sh").read_text()
    options = re.findall(r"^([a-z]\w*)=.*#", text.split("help_message=")[0], re.M)
    assert run_recipe(recipe, "--help", script="score.sh").stdout.count("--") > 40
    assert len(options) > 40
    assert all(f"  --{name} " in shown for name in options)
    assert all(re.search(rf"\b{stage} \w", shown) for stage in range(1, 12))


def test_local_path_sh_is_sourced(recipe):
    (recipe / "local/path.sh").write_text("echo module load something >&2\n")
    assert "module load something" in run_recipe(recipe, "--stage", "2").stderr
