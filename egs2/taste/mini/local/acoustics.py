"""Backgrounds and rooms for recordings that have none."""

import numpy as np

BACKGROUNDS = ("noise", "hum", "clicks")


def background(kind: str, size: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    """(size,) background of unit power; its parameters are drawn, too."""
    time = np.arange(size) / rate
    if kind == "noise":  # coloured, swelling
        spectrum = np.fft.rfft(rng.standard_normal(size))
        slope = rng.uniform(0, 1)
        spectrum[1:] /= np.arange(1, len(spectrum)) ** slope
        swell = 1 + 0.5 * np.sin(2 * np.pi * rng.uniform(1, 6) * time)
        wav = np.fft.irfft(spectrum, size) * swell
    elif kind == "hum":
        base = rng.uniform(60, 400)
        weights = rng.uniform(0.2, 1, 6) / np.arange(1, 7)
        tones = np.sin(2 * np.pi * base * np.outer(np.arange(1, 7), time))
        wav = weights @ tones
    else:  # clicks of a decaying tone
        step = int(rate / rng.uniform(3, 20))
        tone = np.sin(2 * np.pi * rng.uniform(300, 3000) * np.arange(step) / rate)
        click = tone * np.exp(-np.arange(step) / (0.01 * rate))
        wav = np.tile(click, size // step + 1)[:size]
    return wav / np.sqrt(np.mean(wav**2) + 1e-12)


def room(wav: np.ndarray, decay: float, rate: int, rng: np.random.Generator):
    """Reverberate: noise that falls by 60 dB within ``decay`` s, after the direct path.

    Returns (N + tail,).
    """
    size = int(decay * rate)
    response = rng.standard_normal(size) * 10 ** (-3 * np.arange(size) / size)
    response *= 0.7 / np.sqrt((response**2).sum())
    response[0] = 1.0
    total = len(wav) + size - 1
    return np.fft.irfft(np.fft.rfft(wav, total) * np.fft.rfft(response, total), total)
