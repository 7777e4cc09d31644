import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_taste.asr.abs_aligner import WordTimes
from espnet2_taste.asr.word_targets import unit_durations, word_prosody


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0, 0.999), min_size=1, max_size=12),
    st.integers(0, 30),
)
def test_unit_durations_cover_all_units_and_every_word(points, extra):
    starts = np.sort(np.array(points))
    num_units = len(points) + extra
    durations = unit_durations(np.append(starts, 1.0), num_units)
    assert durations.dtype == np.int32
    assert durations.sum() == num_units
    assert (durations >= 1).all()


def test_unit_durations_follow_the_times_and_keep_leading_silence():
    borders = WordTimes(np.array([0.2, 0.52, 1.0]), np.zeros(3), 2.0).borders
    assert unit_durations(borders, 50).tolist() == [13, 12, 25]
    with pytest.raises(ValueError, match="2 units cannot cover 3 words"):
        unit_durations(borders, 2)


def test_word_prosody_of_a_known_contour():
    f0 = np.array([100.0] * 10 + [0] * 10 + [200.0] * 10)
    times = WordTimes(np.array([0.0, 0.1, 0.2]), np.array([0.1, 0.15, 0.3]), 0.4)
    prosody, total = word_prosody(times, f0, 0.01)
    mean = np.log([100.0, 200.0]).mean()
    assert prosody[:, 0] == pytest.approx([np.log(100), mean, np.log(200)])
    assert np.exp(prosody[:, 1]) == pytest.approx([0.1, 0.05, 0.1])
    assert prosody[:, 2] == pytest.approx([0, 0.05, 0.1], abs=1e-6)
    assert total == pytest.approx([20 * mean, 20])
