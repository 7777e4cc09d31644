"""WORLD features, once for training and extraction."""

import subprocess
import sys

import pytest

from espnet2_taste.units.analysis import count_units


@pytest.mark.parametrize(
    "samples, units", [(0, 0), (1, 1), (640, 1), (641, 2), (54400, 85)]
)
def test_unit_count_rule(samples, units):
    assert count_units(samples) == units


def test_analysis_needs_no_torch():
    """Many jobs do it; importing torch takes longer than an utterance."""
    program = "import sys, espnet2_taste.bin.extract_world as p; p.get_parser(); "
    program += "import espnet2_taste.io.shards, espnet2_taste.units.analysis; "
    program += "import espnet2_taste.io.wav_dir; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
