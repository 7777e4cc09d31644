"""Mel-cepstrum of a power spectrum: the frequency transform of Oppenheim and Johnson.

What SPTK's ``sp2mc`` computes, as one matrix.
"""

from functools import cache

import numpy as np


def warping_matrix(size: int, order: int, alpha: float) -> np.ndarray:
    """(order + 1, size): a cepstrum on a linear frequency axis -> on a warped one.

    Column n holds the coefficients of the n-th power of the all-pass function
    (z^-1 - alpha) / (1 - alpha z^-1), found by the recursion of A. Oppenheim and
    D. Johnson, "Discrete representation of signals" (Proc. IEEE 1972).
    """
    columns = np.eye(size)
    warped = np.zeros((order + 1, size))
    for column in columns[::-1]:
        before = warped.copy()
        warped[0] = column + alpha * before[0]
        warped[1] = (1 - alpha**2) * before[0] + alpha * before[1]
        for m in range(2, order + 1):
            warped[m] = before[m - 1] + alpha * (before[m] - warped[m - 1])
    return warped


@cache
def _matrix(bins: int, order: int, alpha: float) -> np.ndarray:
    """(bins, order + 1): ln |X|^2 at evenly spaced frequencies -> mel-cepstrum."""
    cepstrum = np.fft.irfft(np.eye(bins), axis=-1)[:, :bins]
    cepstrum[:, 0] /= 2
    return cepstrum @ warping_matrix(bins, order, alpha).T


def mel_cepstrum(power: np.ndarray, order: int, alpha: float) -> np.ndarray:
    """Power spectra (T, F), positive -> mel-cepstra (T, order + 1) with c0.

    ln |X| = sum_m c_m cos(m w'), w' the frequency warped by ``alpha``.
    """
    return np.log(power) @ _matrix(power.shape[-1], order, alpha)
