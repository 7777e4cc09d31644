"""gpu_check.sh: its steps on a CPU; what it says of steps that fail or hang."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.imports import import_all

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks/gpu_check.sh"
STEPS = ["imports", "tests", "tiny", "parity", "precision", "training", "resume"]
STEPS += ["realtime", "streaming", "fit"]


def check(output, *options):
    """Exit status, lines printed, and gpu_check.json."""
    command = ["bash", SCRIPT, "--python", sys.executable, "--output", output]
    # what the machine lends its processes elsewhere must not be taken for an output
    environment = {k: v for k, v in os.environ.items() if k != "OUT"}
    done = subprocess.run(
        [*command, *options], env=environment, capture_output=True, text=True
    )
    assert not done.stderr
    results = json.loads((output / "gpu_check.json").read_text())
    return done.returncode, done.stdout.splitlines(), results


@pytest.mark.nightly
def test_all_steps_on_a_cpu(tmp_path):
    options = ["--device", "cpu", "--tiny", "--minutes", "15"]
    status, lines, results = check(tmp_path, *options)
    assert status == 0, "\n".join(lines)
    assert [step["name"] for step in results["steps"]] == STEPS
    assert {step["status"] for step in results["steps"]} == {"ok"}
    assert list(results["rows"]) == [
        *("precision", "training", "realtime", "streaming", "fit")
    ]
    assert {"CPU", "torch", "espnet"} <= results["machine"].keys()
    assert any(line.startswith("| rvq, sdpa, batch of 2 |") for line in lines)
    assert " passed" in next(line for line in lines if line.startswith("parity "))


def test_a_failed_and_a_hanging_step_are_told_and_the_rest_goes_on(tmp_path):
    row = {"case": "a case", "value": 2.0, "unit": "ms", "note": "n"}
    written = json.dumps({"machine": {"CPU": "some"}, "rows": {"units": [row]}})
    (tmp_path / "rows").write_text(written)
    steps = {
        "first": (9, "echo before; echo; echo 3 passed"),
        "broken": (9, "echo what; echo why >&2; exit 3"),
        "hanging": (1, "echo begun; sleep 60"),
        "last": (9, f'cp {tmp_path}/rows "$work/last.json"; echo "$limit s"'),
    }
    plan = tmp_path / "steps"
    plan.write_text("".join(f"{k}\t{s}\t{c}\n" for k, (s, c) in steps.items()))
    status, lines, results = check(tmp_path / "out", "--steps", plan)
    assert status == 1
    found = {step["name"]: (step["status"], step["fact"]) for step in results["steps"]}
    assert found == {
        "first": ("ok", "3 passed"),
        "broken": ("FAILED", "what"),
        "hanging": ("timeout", "begun"),
        "last": ("ok", "9 s"),
    }
    assert lines[0].split() == ["first", "ok", "0", "s", "3", "passed"]
    after = lines.index(next(line for line in lines if line.startswith("broken")))
    assert [line.strip() for line in lines[after + 1 : after + 3]] == ["what", "why"]
    assert results["rows"]["units"][0]["note"] == "n"
    assert "| a case | 2.00 ms |  |  |  | n |" in lines
    log = (tmp_path / "out/gpu_check.log").read_text()
    assert all(f"=== {name}: " in log for name in steps)
    assert len(list((tmp_path / "out").iterdir())) == 3  # few may come back


def test_without_time_nothing_starts(tmp_path):
    plan = tmp_path / "steps"
    plan.write_text(f"one\t9\ttouch {tmp_path}/started\n")
    options = ["--steps", plan, "--minutes", "0"]
    status, _, results = check(tmp_path / "out", *options)
    assert status == 1 and results["steps"][0]["status"] == "skipped"
    assert not (tmp_path / "started").exists()


def test_a_module_that_cannot_be_imported_is_named(tmp_path, monkeypatch):
    package = tmp_path / "broken_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "good.py").write_text("")
    (package / "bad.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    count, failed = import_all("broken_package")
    assert count == 1
    assert failed == {
        "broken_package.bad": "ModuleNotFoundError: No module named 'no_such_package'"
    }
