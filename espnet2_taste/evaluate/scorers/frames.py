"""Frame by frame against the original: spectrum, pitch, voicing and energy."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from espnet2_taste.evaluate.column import metric
from espnet2_taste.evaluate.scorers.abs_scorer import (
    AbsScorer,
    Column,
    Recording,
    moments,
)
from espnet2_taste.evaluate.scorers.mel_cepstrum import mel_cepstrum
from espnet2_taste.evaluate.scorers.reading import SAMPLE_RATE, f0_of, read_speech
from espnet2_taste.units.world import (
    F0_METHOD,
    F0_SHIFT,
    POWER_FLOOR,
    world,
)

ORDER, ALPHA = 23, 0.42  # ESPnet's mel-cepstrum at 16 kHz
FFT_SIZE = 1024
WINDOW = 400  # samples, of the energy: 25 ms
ENERGY_RANGE_DB = 40.0  # below an utterance's loudest frame: silence
GROSS_ERROR = 0.2
MAX_SECONDS = 60.0  # warping takes memory with the square of the length


@dataclass(frozen=True)
class Frames:
    """T frames of a recording, 10 ms apart.

    Attributes:
        cepstrum: (T, ORDER) mel-cepstrum of WORLD's envelope, without c0.
        log_f0: (T,) ln Hz, nan where unvoiced.
        energy: (T,) dB, mean power in a Hann window.
    """

    cepstrum: np.ndarray
    log_f0: np.ndarray
    energy: np.ndarray

    def take(self, index: np.ndarray) -> "Frames":
        """The frames of these indices."""
        return Frames(self.cepstrum[index], self.log_f0[index], self.energy[index])


def analyse(wav: np.ndarray) -> Frames:
    """(N,) 16 kHz audio -> N // 160 + 1 frames."""
    f0, period = f0_of(wav)
    wav = np.ascontiguousarray(wav, dtype=np.float64)
    times = np.arange(len(f0)) * period
    power = world().cheaptrick(wav, f0, times, SAMPLE_RATE, fft_size=FFT_SIZE)
    cepstrum = mel_cepstrum(np.maximum(power, POWER_FLOOR), ORDER, ALPHA)
    with np.errstate(divide="ignore"):
        log_f0 = np.where(f0 > 0, np.log(f0), np.nan)
    return Frames(cepstrum[:, 1:], log_f0, frame_energy(wav))


def frame_energy(wav: np.ndarray) -> np.ndarray:
    """(N,) audio -> (N // 160 + 1,) dB of the mean power in 25 ms Hann windows.

    Frames more than 40 dB below the loudest count as 40 dB below it: what recording and
    vocoder leave between words is not the speaker's.
    """
    window = np.hanning(WINDOW + 1)[:-1]
    padded = np.pad(wav, WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::F0_SHIFT]
    power = (frames * window) ** 2 @ np.ones(WINDOW) / np.sum(window**2)
    floor = power.max() * 10 ** (-ENERGY_RANGE_DB / 10)
    return 10 * np.log10(np.maximum(power, floor))


def warping_path(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair the frames of (N, C) and (M, C), N and M at least 1.

    The path of the least sum of Euclidean distances by steps of one frame in either or
    both (H. Sakoe and S. Chiba 1978, without slope constraint): every frame has a
    partner.

    Returns:
        (P,) int indices into ``a`` and into ``b``, in order.
    """
    from librosa.sequence import dtw  # seconds

    _, path = dtw(a.T, b.T)
    return path[::-1, 0], path[::-1, 1]


@dataclass(frozen=True)
class FramePairs:
    """P paired frames of a reference and a recording."""

    reference: Frames
    row: Frames

    @classmethod
    def warped(cls, reference: Frames, row: Frames) -> "FramePairs":
        """Paired by dynamic time warping of mel-cepstra."""
        first, second = warping_path(reference.cepstrum, row.cepstrum)
        return cls(reference.take(first), row.take(second))

    @property
    def voiced(self) -> np.ndarray:
        """(P,) bool: voiced in both."""
        return np.isfinite(self.reference.log_f0 + self.row.log_f0)

    @property
    def log_f0(self) -> tuple[np.ndarray, np.ndarray]:
        """ln Hz of either in the pairs voiced in both."""
        return self.reference.log_f0[self.voiced], self.row.log_f0[self.voiced]


#: function of pairs -> its column
METRICS: dict[Callable[[FramePairs], list[float]], Column] = {}
_metric = partial(metric, METRICS)


@_metric(
    "F0 PCC",
    "correlation of ln F0 over time-warped frames voiced in both, each utterance's "
    "mean removed, -1 to 1",
    group="prosody",
    kind="pearson",
)
def f0_corr(pairs: FramePairs) -> list[float]:
    """Does F0 move as in the original within an utterance?

    The level is ``utterance_f0_corr``'s; with it, two speakers would suffice for a high
    r. Source: VERSA's ``f0_corr``, pooled.
    """
    return moments(*pairs.log_f0)


@_metric(
    "F0 RMSE",
    "root mean square F0 difference over time-warped frames voiced in both; 0 or more",
    digits=2,
    better="lower",
    unit="semitones",
    group="prosody",
    kind="rms",
)
def f0_rmse(pairs: FramePairs) -> list[float]:
    """Semitones are 12 log2 of the ratio. Source: log-F0 RMSE of ESPnet's
    ``evaluate_f0.py``, times 12 / ln 2."""
    reference, row = pairs.log_f0
    return _squares((row - reference) * 12 / np.log(2))


@_metric(
    "Energy PCC",
    "correlation of frame energy over time-warped frames, each utterance's mean "
    "removed, -1 to 1",
    group="prosody",
    kind="pearson",
)
def energy_corr(pairs: FramePairs) -> list[float]:
    """Of :func:`frame_energy`. Source: as ``energy_rmse``."""
    return moments(pairs.reference.energy, pairs.row.energy)


@_metric(
    "Energy RMSE",
    "root mean square energy difference over time-warped frames; 0 or more",
    digits=2,
    better="lower",
    unit="dB",
    group="prosody",
    kind="rms",
)
def energy_rmse(pairs: FramePairs) -> list[float]:
    """Of :func:`frame_energy`. Source: energy as FastSpeech 2's (Y. Ren et al. 2021),
    in dB."""
    return _squares(pairs.row.energy - pairs.reference.energy)


@_metric(
    "VDE",
    "share of time-warped frames voiced in one recording only, 0 to 1",
    better="lower",
)
def vde(pairs: FramePairs) -> list[float]:
    """Voicing decision error. Source: T. Nakatani et al. (2008)."""
    voiced = np.isfinite(pairs.reference.log_f0), np.isfinite(pairs.row.log_f0)
    return [float(np.sum(voiced[0] != voiced[1])), float(len(voiced[0]))]


@_metric(
    "GPE",
    "share of time-warped frames voiced in both whose F0 differs by more than 20 %, "
    "0 to 1",
    better="lower",
)
def gpe(pairs: FramePairs) -> list[float]:
    """Gross pitch error, |F0' / F0 - 1| > 0.2. Source: L. Rabiner et al. (1976) as in
    W. Chu and A. Alwan (ICASSP 2009)."""
    reference, row = pairs.log_f0
    wrong = np.abs(np.expm1(row - reference)) > GROSS_ERROR
    return [float(wrong.sum()), float(len(wrong))]


@_metric(
    "MCD",
    "mel-cepstral distortion over time-warped frames; 0 or more",
    digits=2,
    better="lower",
    unit="dB",
)
def mcd(pairs: FramePairs) -> list[float]:
    """Mean over paired frames of 10 / ln 10 * sqrt(2 sum_m (c_m - c'_m)^2), m from 1 to
    23 (R. Kubichek 1993).

    Order, warping factor and time warping are those of ESPnet's ``evaluate_mcd.py`` at
    16 kHz, the envelope is WORLD's as in its ``evaluate_f0.py`` and in VERSA. Unlike
    them, c0 (loudness, which ``energy_rmse`` measures) counts neither here nor in the
    warping, and power below 1e-9 (digital silence) counts as that much.
    """
    difference = pairs.reference.cepstrum - pairs.row.cepstrum
    distances = 10 / np.log(10) * np.sqrt(2 * np.sum(difference**2, axis=1))
    return [float(distances.sum()), float(len(distances))]


def _squares(difference: np.ndarray) -> list[float]:
    """Sums of an ``rms``."""
    return [float(np.sum(difference**2)), float(len(difference))]


_NEED_VOICE = ("f0_rmse", "f0_corr", "gpe")


@lru_cache(maxsize=256)
def _reference_frames(entry: str, utt: str) -> Frames | None:
    """Every row of a table is compared with the same references."""
    wav = read_speech(entry, utt, MAX_SECONDS)
    return None if wav is None else analyse(wav)


class FrameScorer(AbsScorer):
    """`frames`: a recording against another of the same words, time-warped."""

    name = "frames"
    columns = tuple(METRICS.values())
    needs_reference = True

    @property
    def identity(self) -> str:
        return (
            f"frames of 10 ms, WORLD (pyworld {world().__version__}: {F0_METHOD}), "
            f"mel-cepstrum of order {ORDER} and warping {ALPHA}, DTW"
        )

    def __call__(self, recordings: list[Recording]) -> list[dict[str, list[float]]]:
        return [self._measure(recording) for recording in recordings]

    def _measure(self, recording: Recording) -> dict[str, list[float]]:
        utt, entry = recording.utt, recording.reference
        if entry is None or not recording.same_words:
            return {}
        reference = _reference_frames(entry, f"reference of {utt}")
        if recording.entry == entry:
            row = reference
        else:
            wav = read_speech(recording.entry, utt, MAX_SECONDS)
            row = None if wav is None else analyse(wav)
        if reference is None or row is None:
            return {}
        pairs = FramePairs.warped(reference, row)
        sums = {column.key: function(pairs) for function, column in METRICS.items()}
        if not pairs.voiced.any():
            logging.warning("%s: no frame is voiced in it and its reference", utt)
            sums = {key: s for key, s in sums.items() if key not in _NEED_VOICE}
        return sums
