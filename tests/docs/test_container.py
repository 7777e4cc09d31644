"""What the Dockerfile names is there. hadolint checks the rest; no image is built."""

import json
import re
import runpy
from pathlib import Path

import pytest
import setuptools
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def steps():
    """(instruction, arguments) in their order."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^#.*\n", "", text, flags=re.M).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line]


def of(steps, name):
    return [arguments for instruction, arguments in steps if instruction == name]


def test_the_last_stage_has_a_user_and_no_pip(steps):
    last = max(i for i, (name, _) in enumerate(steps) if name == "FROM")
    assert of(steps[last:], "USER") == ["1000"]
    (run,) = of(steps[last:], "RUN")
    assert "useradd" in run and "--uid 1000" in run and "pip" not in run


def test_it_runs_a_command_that_knows_its_options(steps):
    (entry,), (command,) = of(steps, "ENTRYPOINT"), of(steps, "CMD")
    script = json.loads(entry)[-1]
    assert script == 'exec python -m "espnet2_taste.bin.$0" "$@"'
    name, *options = json.loads(command)
    module = pytest.importorskip(f"espnet2_taste.bin.{name}")
    assert module.get_parser().parse_args(options)


def test_it_installs_what_setup_py_wants(steps, monkeypatch):
    given = {}
    monkeypatch.setattr(setuptools, "setup", lambda **options: given.update(options))
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    runs = " ".join(of(steps, "RUN"))
    (extras,) = re.findall(r'pip install "\.\[([\w,]+)\]"', runs)
    assert set(extras.split(",")) <= given["extras_require"].keys()
    wanted = {r.name: r for r in map(Requirement, given["install_requires"])}
    for name, version in re.findall(r"(torch\w*)==([\d.]+)", runs):
        assert version in wanted[name].specifier, name
    sent = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    for path in ("setup.py", "README.md", "LICENSE", "espnet2_taste"):
        assert f"!{path}" in sent and (ROOT / path).exists()
