"""A tiny packed system with random weights."""

import pytest
from tiny_system import EVERYTHING, make_system
from visitors import humming

from espnet2_taste.demo.recordings import Recording


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory):
    """A recipe's folder with ``exp/tiny``, a packed model of all parts."""
    from espnet2_taste.bin import pack

    root = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        make_system(root, patch)
        pack.main([*EVERYTHING, "--output", "exp/tiny"])
        pack.main(["--taste", "exp/taste", "--output", "exp/mute"])
    return root


@pytest.fixture(scope="session")
def tiny_pack(tiny_root):
    """The packed model."""
    return tiny_root / "exp" / "tiny"


@pytest.fixture(scope="session")
def system(tiny_pack):
    """It, opened."""
    from espnet2_taste.demo.system import System

    return System(tiny_pack)


@pytest.fixture
def recording():
    """One second of humming."""
    return Recording(humming(), 16000)
