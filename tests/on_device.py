"""Where the tests run that can run on either device."""

import os

import pytest

from espnet2_taste.nn.light_linears import multiplies_bfloat16

#: cpu or cuda, of tests/parity and of the training in tests/tasks
DEVICE = os.environ.get("TASTE_TEST_DEVICE", "cpu")
#: what a training command is told for it; AMP is bfloat16 where ESPnet finds it
TRAINING = [] if DEVICE == "cpu" else ["--ngpu", "1", "--use_amp", "true"]
#: of tests that compute with bfloat16 weights on the CPU
BFLOAT16 = pytest.mark.skipif(
    not multiplies_bfloat16(), reason="this processor does not multiply bfloat16"
)
