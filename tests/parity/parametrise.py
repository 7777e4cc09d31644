"""Tests that run once per folder of fixtures, and per tensor or case in it."""

from collections.abc import Mapping

import pytest
from parity.compare import TensorId
from parity.folder import ParityFolder

MARKERS = (
    "tensors(file, ...): once per tensor of files",
    "cases(find=): once per item of find(folder)",
)


def parametrise(metafunc: pytest.Metafunc, folders: Mapping[str, ParityFolder]) -> None:
    """Parametrise a test that asks for ``parity``, see ``tests/parity/conftest.py``.

    Args:
        metafunc: of ``pytest_generate_tests``.
        folders: id -> folder. One without what a test wants gives a skipped test.
    """
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
            for key, folder in folders.items()
            if folder
        }
    elif cases:
        argument = "case"
        found = {k: list(cases.kwargs["find"](f)) for k, f in folders.items() if f}
    else:
        metafunc.parametrize("parity", folders.values(), ids=folders, indirect=True)
        return
    params = []
    for key, folder in folders.items():
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
