"""WORLD features at the rate of the `world_vq` units.

Without torch, which takes seconds to import.
"""

import numpy as np

from espnet2_taste.units import world

FRAMES_PER_UNIT = 2
NUM_CEPS = 24  # cepstral coefficients, by default
SAMPLES_PER_UNIT = FRAMES_PER_UNIT * world.FRAME_SHIFT


def count_units(num_samples: int) -> int:
    """Units of an utterance of ``num_samples`` samples at 16 kHz: ceil(N / 640)."""
    return -(-num_samples // SAMPLES_PER_UNIT)


def world_features(wav: np.ndarray, num_ceps: int) -> np.ndarray:
    """(N,) waveform -> (count_units(N) * FRAMES_PER_UNIT, NUM_PITCH + num_ceps)."""
    return world.analyse(wav, count_units(len(wav)) * FRAMES_PER_UNIT, num_ceps)
