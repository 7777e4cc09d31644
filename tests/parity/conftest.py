"""Fixture folders: computed with the public TASTE reference, and our own goldens.

The reference's folder is not part of this repository: TASTE_PARITY_DIR, by default
../shared/parity beside it. Tests that ask for ``parity`` run on each folder, under the
ids ``reference`` and ``golden``. Marks run a test once per case of a folder:

* ``tensors(file, ...)``: argument ``tensor``, each tensor of these files;
* ``cases(find=...)``: argument ``case``, each item of ``find(folder)``.

With TASTE_TEST_DEVICE=cuda everything is computed there: integers are still equal,
floats to 1e-3 (:mod:`parity.compare`).
"""

import os
from pathlib import Path

import pytest
import torch
from on_device import DEVICE
from parity.folder import ParityFolder
from parity.parametrise import MARKERS, parametrise
from parity.parametrise import parity as parity

TESTS = Path(__file__).resolve().parents[1]
FOLDERS = {
    "reference": ParityFolder(
        os.environ.get("TASTE_PARITY_DIR", TESTS.parents[1] / "shared" / "parity")
    ),
    "golden": ParityFolder(TESTS / "golden"),
}


def pytest_configure(config):
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.fixture(autouse=True)
def device():
    """What a test makes is made on TASTE_TEST_DEVICE, whose float32 has all bits."""
    if DEVICE == "cpu":
        yield
        return
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    with torch.device(DEVICE):
        yield


def pytest_generate_tests(metafunc):
    parametrise(metafunc, FOLDERS)
