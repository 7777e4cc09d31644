import argparse

import pytest
import torch

from espnet2_taste.bin import run
from espnet2_taste.bin.options import add_device_option
from espnet2_taste.extras import import_extra


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
