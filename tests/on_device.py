"""Where the tests run that can run on either device."""

import os

#: cpu or cuda, of tests/parity and of the training in tests/tasks
DEVICE = os.environ.get("TASTE_TEST_DEVICE", "cpu")
#: what a training command is told for it; AMP is bfloat16 where ESPnet finds it
TRAINING = [] if DEVICE == "cpu" else ["--ngpu", "1", "--use_amp", "true"]
