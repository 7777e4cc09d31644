import argparse
import subprocess
import sys

import pytest
import torch

from espnet2_taste.bin import run
from espnet2_taste.bin.options import add_device_option
from espnet2_taste.io.extras import import_extra


@pytest.mark.parametrize(
    "main, traceback",
    [
        (lambda: import_extra("not_there", "scoring"), False),
        (lambda: open("/not/there"), False),
        (lambda: torch.zeros(2) @ torch.zeros(3), True),
    ],
    ids=["ours", "file", "library"],
)
def test_one_line_but_for_faults_of_the_program(main, traceback, caplog):
    with pytest.raises(SystemExit, match="^error: "):
        run(main)
    assert ("traceback" in caplog.text) == traceback


@pytest.mark.parametrize("device", ["cuda:99", "cudda"])
def test_a_device_that_is_not_here(device, capsys):
    parser = argparse.ArgumentParser()
    add_device_option(parser)
    assert parser.parse_args([]).device == "cpu"
    with pytest.raises(SystemExit):
        parser.parse_args(["--device", device])
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"error: argument --device: {device}: " in last


def test_no_gpu_is_one_sentence(capsys, monkeypatch):
    def empty(*_, **__):
        raise RuntimeError("Found no driver. Please install one from\nhttp://x")

    monkeypatch.setattr(torch, "empty", empty)
    parser = argparse.ArgumentParser()
    add_device_option(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--device", "cuda"])
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("argument --device: cuda: Found no driver")


def test_nothing_is_collected_at_the_end():
    program = (
        "import atexit, gc, sys\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 0))\n"
        "from espnet2_taste.bin import run\n"
        "run(lambda: sys.exit(3))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert (done.returncode, done.stdout) == (3, b"True\n")
