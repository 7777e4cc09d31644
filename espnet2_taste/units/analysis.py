"""WORLD features at the rate of the `world_vq` units.

Without torch, which takes seconds to import.
"""

import numpy as np

from espnet2_taste.units import world

FRAMES_PER_UNIT = 2  # of 20 ms, by default
NUM_CEPS = 24  # cepstral coefficients, by default


def count_units(num_samples: int, frames_per_unit: int = FRAMES_PER_UNIT) -> int:
    """Units of an utterance of N samples at 16 kHz: ceil(N / (320 frames_per_unit))."""
    return -(-num_samples // (frames_per_unit * world.FRAME_SHIFT))


def world_features(
    wav: np.ndarray,
    num_ceps: int,
    frames_per_unit: int = FRAMES_PER_UNIT,
    bandwidth: int = world.BANDWIDTH,
) -> np.ndarray:
    """(N,) waveform -> (count_units(N) * frames_per_unit, NUM_PITCH + num_ceps)."""
    num_frames = count_units(len(wav), frames_per_unit) * frames_per_unit
    return world.analyse(wav, num_frames, num_ceps, bandwidth)
