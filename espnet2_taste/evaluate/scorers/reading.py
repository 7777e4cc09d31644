"""Audio of recordings as scorers read it: what cannot be measured is logged."""

import logging
from functools import lru_cache

import numpy as np

from espnet2_taste.asr.recording import Recording
from espnet2_taste.io.audio import NO_SAMPLES, read_audio
from espnet2_taste.units.world import f0_contour

SAMPLE_RATE = 16000  # Hz at which every recording is measured
MIN_SECONDS = 0.1  # less holds no speech to measure
SILENCE = 2.0**-15  # one step of 16 bits


def read_speech(
    entry: str,
    utt: str,
    max_seconds: float = float("inf"),
    sample_rate: int = SAMPLE_RATE,
) -> np.ndarray | None:
    """(N,) float32 audio of a ``wav.scp`` entry that can be measured.

    Returns:
        None where it cannot: unreadable, not finite, silent, too short or too long; the
        log says which and names ``utt``.
    """
    try:
        wav = read_audio(entry, utt, sample_rate)
    except (FileNotFoundError, ValueError) as error:
        logging.warning("%s", error)
        return None
    seconds = len(wav) / sample_rate
    if not MIN_SECONDS <= seconds <= max_seconds:
        logging.warning("%s: %.2f s of audio cannot be measured", utt, seconds)
        return None
    if np.abs(wav).max() < SILENCE:
        logging.warning("%s: %s is silent", utt, entry)
        return None
    return wav


def read_all(
    recordings: list[Recording],
) -> tuple[list[dict], dict[int, np.ndarray]]:
    """A failure for each recording, and the audio of those that can be read."""
    wavs = {}
    for i, recording in enumerate(recordings):
        try:
            wavs[i] = read_audio(recording.entry, recording.utt, SAMPLE_RATE)
        except (FileNotFoundError, ValueError) as error:
            logging.warning("%s", error)
            if getattr(error, "problem", "") == NO_SAMPLES:
                wavs[i] = np.zeros(0, np.float32)  # a failure of another name
    return [{"failure": "unreadable audio"} for _ in recordings], wavs


def f0_of(wav: np.ndarray) -> tuple[np.ndarray, float]:
    """(N,) float32 audio -> (T,) Hz, 0 where unvoiced, and s between them.

    Kept for the next scorer that is given the recording; not to be written to.
    """
    return _f0(np.ascontiguousarray(wav, np.float32).tobytes())


@lru_cache(maxsize=64)
def _f0(samples: bytes) -> tuple[np.ndarray, float]:
    return f0_contour(np.frombuffer(samples, np.float32), SAMPLE_RATE)
