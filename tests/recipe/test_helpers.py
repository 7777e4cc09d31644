"""The helpers recipes take from local/: options, job runner, table tools."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCAL = ROOT / "local"


def call(*command, cwd=None, **environment) -> subprocess.CompletedProcess:
    environment = dict(os.environ, **environment)
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.sh"
    path.write_text(
        "#!/usr/bin/env bash\nset -e -u\nnj=4   # Jobs.\nfast=false\nsome_name=\n"
        'list="a b"  # Words.\nlimit=30.0  # Seconds.\nhelp_message=Usage\nhidden=1\n'
        f". {LOCAL}/parse_options.sh\n"
        'echo "$nj|$fast|$some_name|$list|$*"\n'
    )
    path.chmod(0o755)
    return path


def test_options(script):
    done = call(script, "--nj", "8", "--some-name", "x y", "--fast=true", "rest")
    assert done.stdout == "8|true|x y|a b|rest\n"
    assert call(script).stdout == "4|false||a b|\n"
    assert call(script, "--limit", "20.5").returncode == 0
    assert call(script, "--some_name", "").stdout == "4|false||a b|\n"
    # what run.sh says of an option does not decide what its user may say
    assert call(script, "--list", "1", "--list", "1 2").stdout == "4|false||1 2|\n"


def test_help_lists_the_options(script):
    done = call(script, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage\n")
    assert "--nj 4" in done.stdout and "Jobs." in done.stdout
    assert "hidden" not in done.stdout


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--unknown", "1"], "unknown option --unknown"),
        (["--nj", "many"], "--nj takes an integer, not 'many'"),
        (["--limit", "long"], "--limit takes a number, not 'long'"),
        (["--fast", "1"], "--fast takes true or false, not '1'"),
        (["--nj"], "option --nj needs a value"),
        (["--a[$(touch x)]", "1"], "unknown option"),
    ],
)
def test_option_errors(script, arguments, message):
    done = call(script, *arguments)
    assert done.returncode == 2
    assert message in done.stderr and "--help" in done.stderr


def test_split_and_filter(tmp_path):
    table = tmp_path / "t"
    table.write_text("".join(f"k{i} v{i}\n" for i in range(7)))
    parts = [tmp_path / f"p{i}" for i in range(3)]
    assert call(LOCAL / "split_scp.pl", table, *parts).returncode == 0
    assert "".join(p.read_text() for p in parts) == table.read_text()
    assert {len(p.read_text().splitlines()) for p in parts} == {2, 3}
    done = call(LOCAL / "split_scp.pl", parts[0], *[tmp_path / "x"] * 4)
    assert "fewer than 4 parts" in done.stderr
    ids = tmp_path / "ids"
    ids.write_text("k5 text\nk1\n")
    done = call(LOCAL / "filter_scp.pl", ids, table)
    assert done.stdout == "k1 v1\nk5 v5\n"


def test_run(tmp_path):
    done = call(
        LOCAL / "run.pl", "-l", "mem_free=1G", "--gpu", "0", "--max_jobs_run", "2",
        "JOB=1:3", "log/j.JOB.log", "bash", "-c", "echo out JOB; echo err >&2",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    log = (tmp_path / "log/j.2.log").read_text()
    assert "out 2\n" in log and "err\n" in log and "# Ended (code 0)" in log


def test_run_reports_the_failed_log(tmp_path):
    done = call(
        LOCAL / "run.pl", "JOB=1:3", "j.JOB.log", "bash", "-c", "exit $((JOB == 2))",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    assert "1 of 3 job(s) failed, log is in j.2.log" in done.stderr
    done = call(LOCAL / "run.pl", "x.log", "no-such-command", cwd=tmp_path)
    assert done.returncode == 1 and "log is in x.log" in done.stderr


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--oops", "1", "log", "true"], "unrecognized arguments: --oops"),
        (["log"], "expected: "),
        (["JOB=1:2", "log", "true"], "must contain JOB"),
        (["JOB=2:1", "l.JOB", "true"], "empty job range"),
    ],
)
def test_run_errors(tmp_path, arguments, message):
    done = call(LOCAL / "run.pl", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr


FAKE_SCHEDULER = """#!{python}
import os, subprocess, sys
open("submitted", "w").write(" ".join(sys.argv))
script = sys.argv[-1]
tasks = [a.split("=")[-1] for a in sys.argv if a.startswith("--array=")]
tasks += [b for a, b in zip(sys.argv, sys.argv[1:]) if a in ("-J", "-t") and "-" in b]
first, last = (tasks[0].split("%")[0].split("-") if tasks else (1, 1))
for task in range(int(first), int(last) + 1):
    env = dict(os.environ, {variable}=str(task))
    subprocess.run(["bash", script], env=env if tasks else None)
print({printed})
"""


@pytest.mark.parametrize(
    "shim, command, variable, printed, flags",
    [
        (
            "slurm.pl", "sbatch", "SLURM_ARRAY_TASK_ID", "12;here",
            ["--gres=gpu:2", "--array=1-3", "--parsable"],
        ),
        ("pbs.pl", "qsub", "PBS_ARRAY_INDEX", "12[].s", ["-l ngpus=2", "-J 1-3"]),
        (
            "queue.pl", "qsub", "SGE_TASK_ID", "12.1-3:1",
            ["-l gpu=2", "-t 1-3", "-terse"],
        ),
    ],
)  # fmt: skip
def test_clusters(tmp_path, shim, command, variable, printed, flags):
    source = FAKE_SCHEDULER.format(
        python=sys.executable, variable=variable, printed=repr(printed)
    )
    fake = program(tmp_path / "bin" / command, source)
    path = f"{fake.parent}:{os.environ['PATH']}"
    line = [
        "--gpu",
        "2",
        "--name",
        "n",
        "-q",
        "fast",
        "--allow-scratch",
        "JOB=1:3",
        "log/j.JOB.log",
        "bash",
        "-c",
    ]
    done = call(LOCAL / shim, *line, "echo task JOB", cwd=tmp_path, PATH=path)
    assert done.returncode == 0, done.stderr
    assert "task 3\n" in (tmp_path / "log/j.3.log").read_text()
    submitted = (tmp_path / "submitted").read_text()
    assert all(flag in submitted for flag in [*flags, "-q fast"]), submitted
    assert (" -J n " if shim == "slurm.pl" else " -N n ") in submitted
    done = call(LOCAL / shim, *line, "exit $((JOB == 2))", cwd=tmp_path, PATH=path)
    assert done.returncode == 1
    assert "1 of 3 job(s) failed, log is in log/j.2.log" in done.stderr


def program(path: Path, source: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(source)
    path.chmod(0o755)
    return path


def test_cluster_job_that_never_ends(tmp_path):
    """A cancelled task is named; a launcher's end, and a successor, cancel its job."""
    fakes = {"sbatch": "echo 7", "scancel": "echo $1 >> cancelled", "squeue": ":"}
    for name, line in fakes.items():
        program(tmp_path / "bin" / name, f"#!/bin/bash\n{line}\n")
    (tmp_path / "quick.py").write_text(
        f"import sys; sys.path.insert(0, {str(LOCAL)!r})\n"
        "import clusters, cmd; clusters.ASK_S = clusters.LATE_S = 0.1\n"
        "sys.argv[1:1] = ['slurm']; cmd.main()\n"
    )
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    line = [sys.executable, "quick.py", "l/a.log", "true"]
    done = call(*line, cwd=tmp_path, PATH=path)
    assert done.returncode == 1
    assert "job 7 ended without task 1: cancelled, or its node died" in done.stderr
    program(tmp_path / "bin/squeue", "#!/bin/bash\necho RUNNING\n")
    noted, cancelled = tmp_path / "l/q/a/job_id", tmp_path / "cancelled"
    for times, signum in enumerate([signal.SIGTERM, signal.SIGKILL]):
        launcher = subprocess.Popen(line, cwd=tmp_path, env=dict(os.environ, PATH=path))
        while not noted.exists() or cancelled_times(cancelled) < 2 * times:
            time.sleep(0.05)
        time.sleep(0.5)
        launcher.send_signal(signum)
        launcher.wait()
    assert cancelled_times(cancelled) == 2  # by its end; by its successor
    program(tmp_path / "bin/squeue", "#!/bin/bash\n:\n")
    call(*line, cwd=tmp_path, PATH=path)
    assert cancelled_times(cancelled) == 3


def cancelled_times(file: Path) -> int:
    return len(file.read_text().split()) if file.exists() else 0


def test_cluster_config(tmp_path):
    (tmp_path / "conf").mkdir()
    config = tmp_path / "conf" / "slurm.conf"
    config.write_text("command sbatch -p part\ndefault gpu=0\noption gpu=0\n")
    done = call(LOCAL / "slurm.pl", "--gpu", "4", "a.log", "true", cwd=tmp_path)
    assert "slurm.conf has no option gpu=4" in done.stderr
    config.write_text("nonsense\n")
    done = call(LOCAL / "slurm.pl", "a.log", "true", cwd=tmp_path)
    assert "cannot read line 'nonsense'" in done.stderr
    config.write_text("command no-such-sbatch\n")
    done = call(LOCAL / "slurm.pl", "a.log", "true", cwd=tmp_path)
    assert "cannot submit" in done.stderr
