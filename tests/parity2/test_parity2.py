"""Every tensor of every file against the public code's (or our own golden one)."""

import pytest
from parity.compare import check_tensor
from parity2.files import FILES


@pytest.mark.tensors(*FILES)
def test_tensor(parity, tensor):
    check_tensor(parity, FILES, tensor)
