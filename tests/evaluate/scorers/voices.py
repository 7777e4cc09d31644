"""Synthetic voices with known properties."""

import numpy as np

RATE = 16000


def voice(f0, seconds=1.0, seed=0):
    """Harmonics of F0 (Hz, constant or (N,)) under one formant, and a little noise."""
    f0 = np.broadcast_to(f0, int(seconds * RATE)) if np.isscalar(f0) else f0
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    gains = {h: np.exp(-(((h * np.mean(f0) - 600) / 900) ** 2)) for h in range(1, 16)}
    wav = sum(gain * np.cos(h * phase) for h, gain in gains.items())
    noise = np.random.default_rng(seed).standard_normal(len(f0))
    return 0.05 * wav + 1e-4 * noise
