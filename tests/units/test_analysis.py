"""WORLD analysis of many utterances in processes."""

import subprocess
import sys

import numpy as np
import soundfile

from espnet2_taste.units.analysis import analyse_all

PROGRAM = """
import os
import sys
from espnet2_taste.units.analysis import analyse_all

def refuse():
    os.write(2, b"forked")

if __name__ == "__main__":
    os.register_at_fork(before=refuse)
    found = analyse_all([(key, key, None) for key in sys.argv[1:]], 8, 2)
    print(*sorted(found), "torch" in sys.modules)
"""


def write_noise(folder):
    paths = [str(folder / f"{i}.wav") for i in range(3)]
    for i, path in enumerate(paths):
        wav = 0.1 * np.random.default_rng(i).normal(size=3000 + 500 * i)
        soundfile.write(path, wav, 16000)
    return paths


def test_processes_are_not_forked_and_need_no_torch(tmp_path):
    """A fork of a process that uses a GPU may hang, and importing torch takes long."""
    paths = write_noise(tmp_path)
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py", *paths],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == [*paths, "False"]
    assert "forked" not in done.stderr


def test_any_number_of_processes_gives_the_same(tmp_path, caplog):
    items = [(path, path, None) for path in [*write_noise(tmp_path), "nowhere.wav"]]
    one, two = analyse_all(items, 8, 1), analyse_all(items, 8, 2)
    assert list(one) == list(two) == [path for path, *_ in items[:3]]
    assert all(np.array_equal(one[key], two[key]) for key in one)
    assert caplog.text.count("skipped nowhere.wav") == 2
