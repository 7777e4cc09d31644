import numpy as np
import pytest

from espnet2_taste.asr.pocketsphinx_files import add_noise_floor


def test_noise_floor_is_30_db_below_and_repeatable():
    wav = np.sin(np.arange(16000) / 10).astype(np.float32)
    noise = add_noise_floor(wav) - wav
    assert np.sqrt(np.mean(noise**2) / np.mean(wav**2)) == pytest.approx(
        10 ** (-30 / 20), rel=0.02
    )
    assert (add_noise_floor(wav) - wav == noise).all()
    assert np.isfinite(add_noise_floor(np.zeros(100, np.float32))).all()
