"""WORLD analysis and synthesis: the acoustic features of the `world_vq` units.

F0 is sampled every 10 ms and the spectral envelope every 20 ms, which halves the
cost of the envelope and loses nothing audible. One feature row covers a 20 ms frame,
``[log-F0 x 2, voicing x 2, cepstrum x C]``: log-F0 (ln Hz) is interpolated through
unvoiced stretches, voicing is 0 or 1, and the cepstrum is WORLD's mel-warped coding
of the envelope. Aperiodicity is not analysed (it would cost as much as the rest):
synthesis draws it from voicing and frequency.
"""

from types import ModuleType

import numpy as np

SAMPLE_RATE = 16000
BANDWIDTH = SAMPLE_RATE // 2  # Hz
F0_PERIOD_S = 0.010
F0_SHIFT = 160  # samples
F0_PER_FRAME = 2
FRAME_SHIFT = F0_PER_FRAME * F0_SHIFT
NUM_PITCH = 2 * F0_PER_FRAME  # columns before the cepstrum
F0_FLOOR_HZ = 60.0
F0_CEIL_HZ = 500.0
F0_RANGE = (0.75, 1.5)  # of an utterance, in its first and third quartile (Hirst 2011)
F0_METHOD = "dio in the range of its quartiles, stonemask"  # what scores name
DEFAULT_F0_HZ = 150.0  # where nothing is voiced
# Power floor of the envelope: digital silence would otherwise be an outlier of
# -40 nepers that the quantiser spends its codes on. Well below 16-bit dither.
POWER_FLOOR = 1e-9
PEAK = 0.99  # of a waveform that would clip


def world() -> ModuleType:
    """pyworld, imported by whoever analyses or synthesises.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        import pyworld
    except ModuleNotFoundError as error:
        if error.name != "pyworld":
            raise
        raise ModuleNotFoundError(
            "WORLD is not installed, which F0, prosody, MCD and the `world_vq` units "
            "and vocoder need: pip install pyworld-prebuilt",
            name=error.name,
        ) from None
    return pyworld


def _raw_f0(wav: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """(T,) F0 in Hz with 0 where unvoiced, and (T,) times in seconds, 10 ms apart.

    DIO goes twice over the recording, the second time within the range that the first
    one's quartiles allow: many an octave error of human speech is outside.
    """
    pyworld = world()

    def search(floor: float, ceiling: float, channels: int) -> tuple:
        return pyworld.dio(
            wav,
            sample_rate,
            f0_floor=floor,
            f0_ceil=ceiling,
            frame_period=F0_PERIOD_S * 1000,
            channels_in_octave=channels,
            speed=4,  # decimate first: a third of the cost; stonemask refines anyway
        )

    f0, times = search(F0_FLOOR_HZ, F0_CEIL_HZ, 2)
    if (f0 > 0).any():
        low, high = np.quantile(f0[f0 > 0], [0.25, 0.75]) * F0_RANGE
        # two filters in an octave leave a hole inside a range of one
        f0, times = search(max(low, F0_FLOOR_HZ), min(high, F0_CEIL_HZ), 4)
    return pyworld.stonemask(wav, f0, times, sample_rate), times


def f0_contour(wav: np.ndarray, sample_rate: int) -> tuple[np.ndarray, float]:
    """F0 of a waveform, for prosody targets and metrics.

    Args:
        wav: (N,) waveform, any float or int dtype.
        sample_rate: Hz.

    Returns:
        (T,) float64 F0 in Hz, 0 where unvoiced, T = N // (0.01 * sample_rate) + 1
        (0 values for an empty waveform), and the period between them in seconds.
    """
    if len(wav) == 0:
        return np.zeros(0), F0_PERIOD_S
    wav = np.ascontiguousarray(wav, dtype=np.float64)
    return _raw_f0(wav, sample_rate)[0], F0_PERIOD_S


def harvest_f0(wav: np.ndarray, sample_rate: int, hop: int) -> np.ndarray:
    """F0 by WORLD's harvest, slower and surer than :func:`f0_contour`, by frames.

    As CosyVoice 2's recipe makes targets for its f0 predictor: WORLD's N / hop + 1
    values are brought to the frames by lines between them.

    Args:
        wav: (N,) waveform, any float dtype.
        sample_rate: Hz.
        hop: samples of a frame, a divisor of N.

    Returns:
        (N / hop,) float32 Hz, 0 where unvoiced.
    """
    pyworld = world()
    wav = np.ascontiguousarray(wav, dtype=np.float64)
    period = {"frame_period": 1000 * hop / sample_rate}
    f0, times = pyworld.harvest(wav, sample_rate, **period)
    if np.count_nonzero(f0) < 5:  # harvest has found nothing to go by
        f0, times = pyworld.dio(wav, sample_rate, **period)
    f0 = pyworld.stonemask(wav, f0, times, sample_rate)
    frames = len(wav) // hop
    places = (np.arange(frames) + 0.5) * len(f0) / frames - 0.5
    return np.interp(places, np.arange(len(f0)), f0).astype(np.float32)


def interpolate_log_f0(f0: np.ndarray) -> np.ndarray:
    """(T,) Hz with 0 where unvoiced -> (T,) continuous log-F0 (ln Hz)."""
    voiced = np.flatnonzero(f0 > 0)
    if len(voiced) == 0:
        return np.full(len(f0), np.log(DEFAULT_F0_HZ))
    return np.interp(np.arange(len(f0)), voiced, np.log(f0[voiced]))


def analyse(
    wav: np.ndarray, num_frames: int, num_ceps: int, bandwidth: int = BANDWIDTH
) -> np.ndarray:
    """Waveform -> WORLD features.

    Args:
        wav: (N,) float waveform at 16 kHz in [-1, 1].
        num_frames: T; the waveform is padded with zeros (or cut) to T frame shifts.
        num_ceps: cepstral coefficients, C.
        bandwidth: Hz; they describe the envelope up to here (8 kHz recordings: 4000).

    Returns:
        (T, NUM_PITCH + C) float32: log-F0, voicing, cepstrum.
    """
    if num_frames == 0:
        return np.zeros((0, NUM_PITCH + num_ceps), dtype=np.float32)
    padded = np.zeros(num_frames * FRAME_SHIFT)
    length = min(len(wav), len(padded))
    padded[:length] = wav[:length]
    pyworld = world()
    f0, times = _raw_f0(padded, SAMPLE_RATE)
    f0 = f0[: num_frames * F0_PER_FRAME]
    coarse = slice(0, num_frames * F0_PER_FRAME, F0_PER_FRAME)
    power = pyworld.cheaptrick(
        padded,
        np.ascontiguousarray(f0[coarse]),
        np.ascontiguousarray(times[coarse]),
        SAMPLE_RATE,
    )
    bins = _bins(power.shape[1], bandwidth)
    power = np.ascontiguousarray(np.maximum(power[:, :bins], POWER_FLOOR))
    ceps = pyworld.code_spectral_envelope(power, 2 * bandwidth, num_ceps)
    log_f0 = interpolate_log_f0(f0).reshape(num_frames, F0_PER_FRAME)
    voicing = (f0 > 0).reshape(num_frames, F0_PER_FRAME)
    return np.column_stack([log_f0, voicing, ceps]).astype(np.float32)


def _bins(num_bins: int, bandwidth: int) -> int:
    """Of ``num_bins`` from 0 to 8 kHz, those up to ``bandwidth``.

    Raises:
        ValueError: it is none of 1000, 2000, 4000 and 8000 Hz.
    """
    if bandwidth not in (1000, 2000, 4000, 8000):
        raise ValueError(f"bandwidth {bandwidth}: expected 1000, 2000, 4000 or 8000 Hz")
    return (num_bins - 1) * bandwidth // BANDWIDTH + 1


def _aperiodicity(voiced: np.ndarray, num_bins: int) -> np.ndarray:
    """(T,) bool -> (T, num_bins) amplitude ratio of noise.

    Unvoiced frames are noise; voiced ones grow noisier above 2 kHz as natural
    voices do, which keeps the synthesis from buzzing.
    """
    hertz = np.linspace(0, SAMPLE_RATE / 2, num_bins)
    curve = np.interp(hertz, [0, 2000, 5000, 8000], [0.001, 0.01, 0.2, 0.4])
    return np.where(voiced[:, None], curve, 1.0)


def _upsample(ceps: np.ndarray) -> np.ndarray:
    """(T, C) -> (T * F0_PER_FRAME, C), linear in between."""
    following = np.concatenate([ceps[1:], ceps[-1:]])
    steps = np.arange(F0_PER_FRAME)[None, :, None] / F0_PER_FRAME
    fine = ceps[:, None] * (1 - steps) + following[:, None] * steps
    return np.ascontiguousarray(fine.reshape(-1, ceps.shape[1]))


def synthesis_parameters(
    features: np.ndarray, bandwidth: int = BANDWIDTH
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(T, NUM_PITCH + C) features -> what WORLD synthesises, F = T * F0_PER_FRAME rows.

    The arguments are those of :func:`synthesise`.

    Returns:
        (F,) Hz, 0 where unvoiced; (F, bins) power; (F, bins) aperiodicity. All but the
        last row of power look at no later features.
    """
    features = features.astype(np.float64)
    log_f0 = features[:, :F0_PER_FRAME].ravel()
    voiced = features[:, F0_PER_FRAME:NUM_PITCH].ravel() > 0.5
    f0 = np.exp(np.clip(log_f0, np.log(F0_FLOOR_HZ), np.log(F0_CEIL_HZ)))
    pyworld = world()
    fft_size = pyworld.get_cheaptrick_fft_size(SAMPLE_RATE)
    num_bins = fft_size // 2 + 1
    bins = _bins(num_bins, bandwidth)
    power = pyworld.decode_spectral_envelope(
        _upsample(features[:, NUM_PITCH:]), 2 * bandwidth, 2 * (bins - 1)
    )
    if bins < num_bins:
        above = ((0, 0), (0, num_bins - bins))
        power = np.pad(power, above, constant_values=POWER_FLOOR)
    return np.where(voiced, f0, 0.0), power, _aperiodicity(voiced, num_bins)


def render(f0: np.ndarray, power: np.ndarray, aperiodicity: np.ndarray) -> np.ndarray:
    """:func:`synthesis_parameters` -> (F * F0_SHIFT,) float64, as loud as it comes."""
    num_samples = len(f0) * F0_SHIFT
    wav = world().synthesize(f0, power, aperiodicity, SAMPLE_RATE, F0_PERIOD_S * 1000)
    return np.pad(wav, (0, max(0, num_samples - len(wav))))[:num_samples]


def synthesise(features: np.ndarray, bandwidth: int = BANDWIDTH) -> np.ndarray:
    """WORLD features -> waveform.

    Args:
        features: (T, NUM_PITCH + C): log-F0, voicing (voiced above .5), cepstrum.
        bandwidth: of :func:`analyse`; there is silence above it.

    Returns:
        (T * FRAME_SHIFT,) float32 waveform, scaled down where it would clip.
    """
    if len(features) == 0:
        return np.zeros(0, dtype=np.float32)
    wav = render(*synthesis_parameters(features, bandwidth))
    peak = np.abs(wav).max()
    return (wav / peak * PEAK if peak > PEAK else wav).astype(np.float32)
