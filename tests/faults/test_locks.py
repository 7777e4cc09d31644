"""Two runs in one folder: one works, the other is told whose lock it is.

Ruling places: ``local/lock.py`` and the end of ``local/options.sh``;
``espnet2_taste/io/atomic.py`` for temporary names.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from espnet2_taste.io.atomic import replacing

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "local/lock.py"
DATA = """#!/usr/bin/env bash
touch data.started
while [ -e wait ]; do sleep 0.1; done
for set in train dev test; do
    mkdir -p data/${set}
    for file in wav.scp text utt2spk; do echo "${set}-1 x" > data/${set}/${file}; done
done
"""


@pytest.fixture
def recipe(tmp_path):
    """The mini recipe in its own folders, with a stage 1 that waits for the test."""
    folder = tmp_path / "JOBS SET/egs2/taste/mini"  # no placeholders, nor words
    folder.mkdir(parents=True)
    mini, template = ROOT / "egs2/taste/mini", ROOT / "egs2/taste/TEMPLATE"
    for path in (*template.glob("*.sh"), mini / "run.sh", mini / "conf"):
        (folder / path.name).symlink_to(path)
    (folder / "utils").symlink_to(ROOT / "local")
    (folder / "local").mkdir()
    (folder / "local/data.sh").write_text(DATA)
    (folder / "local/data.sh").chmod(0o755)
    (folder / "wait").touch()
    return folder


def start(folder, *words):
    return subprocess.Popen(
        ["./run.sh", "--ngpu", "0", "--testsets", "", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("RECIPE_")},
    )


def ends(process) -> tuple[int, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out + err


def wait_for(path):
    until = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_two_runs_in_one_folder(recipe):
    first = start(recipe, "--stop_stage", "1")
    wait_for(recipe / "data.started")
    for words in (["--stop_stage", "1"], ["--stage", "5"], ["--tag", "x"]):
        code, said = ends(start(recipe, *words))
        assert code != 0 and f"pid {first.pid} on {socket.gethostname()}" in said
        assert "./taste.sh" in said and "rm " in said
    (recipe / "exp/.lock").unlink()  # what the message offers
    (recipe / "data/.lock").unlink()
    second = start(recipe, "--stop_stage", "1")
    (recipe / "wait").unlink()
    assert ends(second)[0] == 0
    ends(first)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_of_a_killed_run_counts_for_nothing(recipe, signum):
    first = start(recipe, "--stop_stage", "1")
    wait_for(recipe / "data.started")
    first.send_signal(signum)
    first.wait()
    (recipe / "wait").unlink()
    code, said = ends(start(recipe, "--stop_stage", "1"))
    assert code == 0, said
    assert (recipe / "data/test/text").exists()


def lock(folder, how, fd=None, **environment):
    with open(folder / "l", "ab") as file:
        return subprocess.run(
            [sys.executable, "-I", LOCK, str(fd or file.fileno()), "l", how],
            cwd=folder,
            pass_fds=[fd or file.fileno()],
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            timeout=30,
            check=False,
        )


@pytest.mark.parametrize(
    "held, wanted, free",
    [
        ("exclusive", "exclusive", False),
        ("exclusive", "shared", False),
        ("shared", "shared", True),
        ("shared", "exclusive", False),
        ("wait", "shared", False),
    ],
)
def test_who_may_work_beside_whom(tmp_path, held, wanted, free):
    other = str(os.getppid())
    with open(tmp_path / "l", "ab") as holder:
        done = lock(tmp_path, held, holder.fileno(), RECIPE_PID=other)
        assert done.returncode == 0
        assert (lock(tmp_path, wanted).returncode == 0) == free
        # Stages 1 to 4 are over: a run with another tag may read what they made.
        done = lock(tmp_path, "shared", holder.fileno(), RECIPE_PID=other)
        assert done.returncode == 0
        assert lock(tmp_path, "shared").returncode == 0
    assert lock(tmp_path, wanted).returncode == 0


NO_FLOCK = """
import errno, fcntl, runpy, sys
def flock(*_): raise OSError(errno.ENOLCK, "no locks")
fcntl.flock = flock
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize(
    "text, free",
    [
        ("", True),
        ("what is this", True),
        ("pid 999999999 on HERE since Monday: ./taste.sh", True),
        (f"pid {os.getppid()} on HERE since Monday: ./taste.sh", False),
        ("pid 999999999 on elsewhere since Monday: ./taste.sh", False),
    ],
)
def test_a_file_system_without_locks(tmp_path, text, free):
    path = tmp_path / "l"
    path.write_text(text.replace("HERE", socket.gethostname()))
    (tmp_path / "no_flock.py").write_text(NO_FLOCK)
    with open(path, "ab") as file:
        done = subprocess.run(
            [sys.executable, "no_flock.py", LOCK, str(file.fileno()), "l", "exclusive"],
            cwd=tmp_path,
            pass_fds=[file.fileno()],
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode == 0) == free, done.stderr
    if not free:
        assert text.partition(" since")[0].replace("HERE", "") in done.stderr.replace(
            socket.gethostname(), ""
        )


def write_often(job):
    path, letter = job
    for _ in range(150):
        with replacing(path) as temporary, open(temporary, "w") as file:
            for _ in range(20):
                file.write(letter * 100)
                file.flush()
        content = path.read_text()
        if len(set(content)) != 1 or len(content) != 2000:
            return content
    return ""


def test_two_writers_of_one_file(tmp_path):
    with ProcessPoolExecutor(3, get_context("fork")) as pool:
        mixed = list(pool.map(write_often, [(tmp_path / "f", c) for c in "abc"]))
    assert mixed == ["", "", ""]
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
