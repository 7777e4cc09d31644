import numpy as np
import pytest

from espnet2_taste.evaluate.scorers.mel_cepstrum import mel_cepstrum

ORDER, ALPHA = 23, 0.42


def resonance(omega):
    """Power of 1 / (1 - 0.9 z^-1)."""
    return 1 / np.abs(1 - 0.9 * np.exp(-1j * omega)) ** 2


def test_equals_sptk():
    power = resonance(np.linspace(0, np.pi, 513))
    # pysptk 1.0.1: sp2mc(power, 23, 0.42)
    golden = [
        4.74815186e-01,
        1.19170418,
        2.09563671e-01,
        5.73512365e-02,
        1.12109429e-04,
    ]
    found = mel_cepstrum(power, ORDER, ALPHA)[[0, 1, 2, 5, 23]]
    np.testing.assert_allclose(found, golden, rtol=1e-8)


def test_equals_cosine_integrals_on_the_warped_axis():
    # c_m = 2 / pi * integral over w' of ln |X(w(w'))| cos(m w'), half that for m = 0
    warped = (np.arange(4096) + 0.5) * np.pi / 4096
    omega = warped - 2 * np.arctan2(ALPHA * np.sin(warped), 1 + ALPHA * np.cos(warped))
    log_amplitude = np.log(resonance(omega)) / 2
    cosines = np.cos(np.outer(np.arange(ORDER + 1), warped))
    direct = 2 * cosines @ log_amplitude / len(warped)
    direct[0] /= 2
    found = mel_cepstrum(resonance(np.linspace(0, np.pi, 513)), ORDER, ALPHA)
    np.testing.assert_allclose(found, direct, atol=1e-6)


def test_without_warping_it_is_the_cepstrum():
    found = mel_cepstrum(resonance(np.linspace(0, np.pi, 513)), 5, 0.0)
    assert found == pytest.approx([0.0, *(0.9**n / n for n in range(1, 6))], abs=1e-9)
