"""What a visitor may say to a tiny system."""

import numpy as np

TEXT = "set the red lamp"


def humming(seconds=1.0, pitch=140.0, rate=16000, seed=0):
    """A recording that has a pitch: (N,) float32 in [-1, 1]."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    wav = sum(np.sin(2 * np.pi * pitch * n * time) / n for n in range(1, 8))
    return (0.2 * wav + 0.01 * rng.standard_normal(len(time))).astype(np.float32)
