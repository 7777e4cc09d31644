import sys

import numpy as np
import pytest

from espnet2_taste.units import world


def tone(hertz, seconds=0.8, rate=16000):
    """A buzz with harmonics: (N,) float32."""
    t = np.arange(int(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * hertz * k * t) / k for k in range(1, 12))
    return (0.2 * wave).astype(np.float32)


@pytest.mark.parametrize("rate", [16000, 24000])
def test_f0_contour_finds_the_pitch(rate):
    f0, period = world.f0_contour(tone(140.0, rate=rate), rate)
    assert period == 0.01
    assert len(f0) == 81
    assert np.median(f0[f0 > 0]) == pytest.approx(140.0, rel=0.01)


def test_f0_contour_of_nothing_and_of_int16():
    assert len(world.f0_contour(np.zeros(0), 16000)[0]) == 0
    assert not world.f0_contour(np.zeros(4000, np.int16), 16000)[0].any()


def test_without_pyworld_it_says_who_needs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyworld", None)
    with pytest.raises(ModuleNotFoundError, match="pip install pyworld-prebuilt"):
        world.f0_contour(tone(140.0), 16000)


def test_interpolate_log_f0():
    filled = world.interpolate_log_f0(np.array([0.0, 100.0, 0.0, 400.0]))
    np.testing.assert_allclose(np.exp(filled), [100, 100, 200, 400])
    unvoiced = world.interpolate_log_f0(np.zeros(3))
    np.testing.assert_allclose(np.exp(unvoiced), world.DEFAULT_F0_HZ)


def test_analysis_and_synthesis_keep_pitch_and_level():
    wav = tone(180.0)
    features = world.analyse(wav, 40, 24)
    assert features.shape == (40, world.NUM_PITCH + 24)
    assert features.dtype == np.float32
    copy = world.synthesise(features)
    assert copy.shape == (40 * world.FRAME_SHIFT,)
    assert copy.dtype == np.float32
    f0 = world.f0_contour(copy, 16000)[0]
    assert np.median(f0[f0 > 0]) == pytest.approx(180.0, rel=0.02)
    level = np.std(copy[3200:-3200]) / np.std(wav[3200:-3200])
    assert 0.5 < level < 2.0


def test_a_narrow_band_is_described_alone():
    rng = np.random.default_rng(0)
    noise = np.fft.rfft(0.1 * rng.normal(size=12800))
    noise[6400 // 2 :] = 0  # a recording of 8 kHz
    wav = np.fft.irfft(noise)

    def spectra(bandwidth):
        copy = world.synthesise(world.analyse(wav, 40, 24, bandwidth), bandwidth)
        return np.abs(np.fft.rfft(copy)) ** 2

    narrow = spectra(4000)
    assert narrow[3400:].sum() < 1e-3 * narrow.sum()
    level = narrow[200:3000].sum() / (np.abs(noise[200:3000]) ** 2).sum()
    assert 0.5 < level < 2.0
    with pytest.raises(ValueError, match="bandwidth 3000: expected 1000, 2000"):
        spectra(3000)


def test_analysis_is_deterministic_and_survives_silence():
    rng = np.random.default_rng(0)
    wav = np.concatenate([np.zeros(3000), tone(120.0), 0.1 * rng.normal(size=2000)])
    first, second = (world.analyse(wav, 30, 24) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    silence = world.analyse(np.zeros(640), 2, 24)
    assert np.isfinite(silence).all()
    assert np.abs(world.synthesise(silence)).max() < 1e-2


def test_empty_and_clipping():
    assert world.analyse(np.zeros(0), 0, 24).shape == (0, world.NUM_PITCH + 24)
    assert len(world.synthesise(np.zeros((0, world.NUM_PITCH + 24)))) == 0
    loud = world.analyse(tone(150.0), 40, 24)
    loud[:, world.NUM_PITCH] += 8.0
    assert 0.9 < np.abs(world.synthesise(loud)).max() <= 1.0
