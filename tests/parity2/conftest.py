"""Fixture folders of TASTE's successors: CosyVoice 2's units, vocoder, text-to-unit LM.

They lie in ../shared/parity2 beside the repository, or where TASTE_PARITY_DIR says;
``golden2`` is our own. Fixtures, marks and ids are those of ``tests/parity``:
``tensors`` and ``cases``, argument ``parity``. What computes a file's tensors is
registered in :mod:`parity2.files`.
"""

import os
from pathlib import Path

from parity.parametrise import MARKERS, parametrise
from parity.parametrise import parity as parity
from parity2.folder import Parity2Folder

TESTS = Path(__file__).resolve().parents[1]
DEFAULT = TESTS.parents[1] / "shared" / "parity2"


def _reference() -> Parity2Folder:
    """TASTE_PARITY_DIR, unless that is a folder of tests/parity."""
    given = Parity2Folder(os.environ.get("TASTE_PARITY_DIR", DEFAULT))
    return Parity2Folder(DEFAULT) if given.is_first() else given


FOLDERS = {"reference": _reference(), "golden": Parity2Folder(TESTS / "golden2")}


def pytest_configure(config):
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


def pytest_generate_tests(metafunc):
    parametrise(metafunc, FOLDERS)
