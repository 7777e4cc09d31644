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
from parity.compare import TensorId
from parity.folder import ParityFolder

TESTS = Path(__file__).resolve().parents[1]
FOLDERS = {
    "reference": ParityFolder(
        os.environ.get("TASTE_PARITY_DIR", TESTS.parents[1] / "shared" / "parity")
    ),
    "golden": ParityFolder(TESTS / "golden"),
}


def pytest_configure(config):
    config.addinivalue_line("markers", "tensors(file, ...): once per tensor of files")
    config.addinivalue_line("markers", "cases(find=): once per item of find(folder)")


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
    if "parity" not in metafunc.fixturenames:
        return
    tensors = metafunc.definition.get_closest_marker("tensors")
    cases = metafunc.definition.get_closest_marker("cases")
    if tensors:
        argument = "tensor"
        found = {
            key: [
                TensorId(f, t) for f in tensors.args for t in sorted(folder.shapes(f))
            ]
            for key, folder in FOLDERS.items()
            if folder
        }
    elif cases:
        argument = "case"
        found = {k: list(cases.kwargs["find"](f)) for k, f in FOLDERS.items() if f}
    else:
        metafunc.parametrize("parity", FOLDERS.values(), ids=FOLDERS, indirect=True)
        return
    params = []
    for key, folder in FOLDERS.items():
        for case in found.get(key, []):
            params.append(pytest.param(folder, case, id=f"{key}-{case}"))
        if not found.get(key):
            skip = pytest.mark.skip(f"{folder.folder} has no such files")
            params.append(pytest.param(folder, None, id=key, marks=skip))
    metafunc.parametrize(("parity", argument), params, indirect=["parity"])


@pytest.fixture(scope="session")
def parity(request) -> ParityFolder:
    """A folder of fixtures."""
    if not request.param:
        pytest.skip(f"no fixtures in {request.param.folder} (set TASTE_PARITY_DIR)")
    return request.param
