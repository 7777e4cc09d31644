import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from espnet2_taste.ablation.runs import Failed, recipe_run


@pytest.fixture
def run_sh(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(lines):
        path = tmp_path / "run.sh"
        path.write_text(f"#!/usr/bin/env bash\n{lines}\n")
        path.chmod(0o755)

    return write


def test_log_and_reason(run_sh, tmp_path):
    run_sh('echo "did $*"; [ "$1" = --good ] || { echo "x: error: why"; exit 3; }')
    recipe_run(tmp_path / "a/run.log", ["--good", "1 2"])
    assert (tmp_path / "a/run.log").read_text() == "did --good 1 2\n"
    with pytest.raises(Failed, match=r"^x: error: why \(log: .*b\.log\)$"):
        recipe_run(tmp_path / "b.log", ["--bad"])
    run_sh("exit 1")
    with pytest.raises(Failed, match="no output"):
        recipe_run(tmp_path / "b.log", [])


@pytest.mark.skipif(not shutil.which("setpriv"), reason="Linux with util-linux")
def test_no_run_outlives_the_command(run_sh, tmp_path):
    run_sh("echo $$ > pid; exec sleep 60")
    code = (
        "from pathlib import Path; from espnet2_taste.ablation.runs import recipe_run;"
        "recipe_run(Path('run.log'), [])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    pid = int((tmp_path / "pid").read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            with open(f"/proc/{pid}/stat") as file:  # a zombie is gone, too
                if file.read().split()[2] == "Z":
                    return
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.05)
    pytest.fail("the run goes on")
