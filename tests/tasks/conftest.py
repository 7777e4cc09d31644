"""Training on a GPU is asked to be repeatable, as resumed training is compared."""

import os

import torch
from on_device import DEVICE

if DEVICE != "cpu":
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
