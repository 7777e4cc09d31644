"""TASTE codes between the two tokenizations of a text (f_extract_vq)."""

import pytest
from parity.compare import check_tensor
from parity.computed.extract_vq import FILES


@pytest.mark.tensors(*FILES)
def test_tensor(parity, tensor):
    check_tensor(parity, FILES, tensor)
