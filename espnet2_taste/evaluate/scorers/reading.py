"""Audio of recordings as meters read it: what cannot be measured is logged."""

import logging

import numpy as np

from espnet2_taste.io.audio import SAMPLE_RATE, read_audio

MIN_SECONDS = 0.1  # less holds no speech to measure
SILENCE = 2.0**-15  # one step of 16 bits


def read_speech(
    entry: str, utt: str, max_seconds: float = float("inf")
) -> np.ndarray | None:
    """(N,) float32 16 kHz audio of a ``wav.scp`` entry that can be measured.

    Returns:
        None where it cannot: unreadable, not finite, silent, too short or too long; the
        log says which and names ``utt``.
    """
    try:
        wav = read_audio(entry, utt)
    except (FileNotFoundError, ValueError) as error:
        logging.warning("%s", error)
        return None
    seconds = len(wav) / SAMPLE_RATE
    if not MIN_SECONDS <= seconds <= max_seconds:
        logging.warning("%s: %.2f s of audio cannot be measured", utt, seconds)
        return None
    if np.abs(wav).max() < SILENCE:
        logging.warning("%s: %s is silent", utt, entry)
        return None
    return wav
