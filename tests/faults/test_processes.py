"""What a user kills ends with all that it started: recipes, jobs, pools.

Ruling places: ``local/guard.py`` (a recipe's script and what it started),
``local/cmd.py`` (jobs), ``espnet2_taste/io/processes.py`` (Python's pools).
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCAL = ROOT / "local"
#: Shell lines that leave processes in several ways; each sleeps for MARK seconds.
SCRIPTS = {
    "foreground": "sleep {mark}",
    "background": "sleep {mark} & sleep {mark}",
    "orphan": "(sleep {mark} &) ; sleep {mark}",
    "subshells": "( ( sleep {mark}; : ) & wait ) & wait",
    "pipe": "sleep {mark} | cat",
    "ignores signals": "trap '' TERM INT HUP; sleep {mark}; sleep {mark}",
    "job": "{local}/run.pl --max_jobs_run 2 JOB=1:3 j.JOB.log sleep {mark}",
    "job of a job": "{local}/run.pl a.log {local}/run.pl b.log bash -c 'sleep {mark}'",
    "job in background": "{local}/run.pl a.log sleep {mark} & wait",
    "python": "{python} -c 'import time; time.sleep({mark})'",
    "stopped": "sleep {mark} & kill -STOP $!; sleep {mark}",
    "nested recipe": "{python} -I {local}/guard.py inner.sh",
}
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL)
used: list[int] = []
marks = (
    used.append(m) or m for m in (int(f"{os.getpid()}{i}") for i in range(100, 1000))
)


@pytest.fixture(autouse=True)
def hangups():
    """As in a terminal; under nohup, tests are started with SIGHUP ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def sleepers(mark: int) -> list[int]:
    """Processes whose command line has the mark."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
            state = path.with_name("stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if str(mark).encode() in line and state != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left():
    """Of a test that failed."""
    yield
    for mark in used:
        for pid in sleepers(mark):
            os.kill(pid, signal.SIGKILL)


def wait_for(condition, seconds: float = 30) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return False


def start(folder: Path, name: str) -> tuple[subprocess.Popen, int]:
    """A script under the guard, after its first process has come up."""
    mark = next(marks)
    line = SCRIPTS[name].format(mark=mark, local=LOCAL, python=sys.executable)
    folder.mkdir(exist_ok=True)
    (folder / "script.sh").write_text(f"set -e -u\n{line}\n")
    (folder / "inner.sh").write_text(f"sleep {mark} & sleep {mark}\n")
    environment = {k: v for k, v in os.environ.items() if k != "RECIPE_PID"}
    process = subprocess.Popen(
        [sys.executable, "-I", LOCAL / "guard.py", "script.sh"],
        cwd=folder,
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    return process, mark


@pytest.mark.parametrize("signum", SIGNALS)
def test_nothing_outlives_a_recipe(tmp_path, signum):
    names = [n for n in SCRIPTS if n != "ignores signals" or signum == signal.SIGTERM]
    runs = {name: start(tmp_path / name.replace(" ", "_"), name) for name in names}
    for name, (_, mark) in runs.items():
        assert wait_for(lambda mark=mark: sleepers(mark)), name
    time.sleep(0.3)
    for process, _ in runs.values():
        process.send_signal(signum)
    for name, (process, mark) in runs.items():
        code = process.wait(timeout=30)
        assert code == (-signum if signum == signal.SIGKILL else 128 + signum), name
        assert wait_for(lambda mark=mark: not sleepers(mark)), name


def test_the_script_itself_is_killed(tmp_path):
    """One of its processes, at random as the out-of-memory killer does."""
    process, mark = start(tmp_path, "background")
    assert wait_for(lambda: len(sleepers(mark)) > 1)
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    script = int(Path(children).read_text().split()[0])
    os.kill(script, signal.SIGKILL)
    assert process.wait(timeout=30) == 128 + signal.SIGKILL
    assert not sleepers(mark)


def test_the_watcher_is_killed_first(tmp_path):
    process, mark = start(tmp_path, "background")
    assert wait_for(lambda: len(sleepers(mark)) > 1)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    before = children.read_text().split()
    os.kill(int(before[1]), signal.SIGKILL)
    assert wait_for(lambda: len({*children.read_text().split()} - {*before}) == 1)
    process.kill()
    assert wait_for(lambda: not sleepers(mark))
    process.wait()


@pytest.mark.parametrize("code", [0, 1, 7])
def test_exit_status_and_what_is_left_in_the_background(tmp_path, code):
    mark = next(marks)
    (tmp_path / "s.sh").write_text(f"sleep {mark} &\nread -r x\nexit {code}\n")
    done = subprocess.run(
        [sys.executable, "-I", LOCAL / "guard.py", "s.sh"],
        cwd=tmp_path,
        timeout=30,
        check=False,
    )  # nobody waits for the terminal
    assert done.returncode == code
    assert not sleepers(mark)


def test_recipes_become_their_pipeline():
    """So that the process a user knows is the one that is guarded."""
    scripts = [*ROOT.glob("egs2/taste/*/run.sh")]
    assert scripts
    for script in scripts:
        assert "\nexec ./taste.sh" in script.read_text(), script


def test_jobs_end_with_their_launcher(tmp_path):
    for signum in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        mark = next(marks)
        launcher = subprocess.Popen(
            [LOCAL / "run.pl", "JOB=1:3", "j.JOB.log", "sleep", str(mark)],
            cwd=tmp_path,
            stderr=subprocess.DEVNULL,
        )
        assert wait_for(lambda mark=mark: len(sleepers(mark)) > 3)
        launcher.send_signal(signum)
        assert launcher.wait(timeout=30) != 0
        assert wait_for(lambda mark=mark: not sleepers(mark)), signum


POOL = """
import multiprocessing, sys, time
from espnet2_taste.io.processes import process_pool
if __name__ == "__main__":
    with process_pool(2, {context}) as pool:
        list(pool.map(time.sleep, [600] * 4))
"""


@pytest.mark.parametrize("context", ["None", "'spawn'", "'fork'"])
def test_pools_end_with_their_parent(tmp_path, context):
    script = tmp_path / f"{next(marks)}.py"
    script.write_text(POOL.format(context=context))
    process = subprocess.Popen(
        [sys.executable, script], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )

    def descendants():
        found, queue = [], [process.pid]
        while queue:
            path = Path(f"/proc/{queue[-1]}/task/{queue.pop()}/children")
            children = [int(p) for p in path.read_text().split()]
            found += children
            queue += children
        return found

    assert wait_for(lambda: len(descendants()) >= 2)
    workers = descendants()
    time.sleep(0.5)
    process.kill()
    process.wait()
    assert wait_for(lambda: not any(Path(f"/proc/{p}").exists() for p in workers))
