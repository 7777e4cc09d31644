import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_taste.asr.abs_aligner import WordTimes
from espnet2_taste.asr.ctc_alignment import (
    align_words,
    unit_durations,
    word_prosody,
)


def peaked(frames, vocab=6):
    logits = torch.full((len(frames), vocab), -8.0)
    logits[torch.arange(len(frames)), torch.tensor(frames)] = 8.0
    return logits.log_softmax(-1)


def test_word_spans_are_the_first_frames_of_first_and_last_characters():
    # words [2, 3] and [3, 3], space 1, blank 0
    frames = [0, 2, 2, 0, 3, 1, 0, 3, 0, 3, 3, 0]
    spans, confidence = align_words(peaked(frames), [[2, 3], [3, 3]], [1, 1])
    assert spans.tolist() == [[1, 4], [7, 9]] and confidence > 0.99
    assert align_words(peaked(frames), [[4, 5], [2]], [1, 1])[1] < 1e-5  # other words
    assert align_words(peaked([0] * 12), [[2, 3], [3]], [1, 1])[1] < 1e-5  # silence


def test_too_few_frames_is_an_error():
    with pytest.raises(ValueError, match="2 frames cannot hold 3 tokens"):
        align_words(peaked([2, 3]), [[2, 3, 4]], [1])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0, 0.999), min_size=1, max_size=12),
    st.integers(0, 30),
)
def test_unit_durations_cover_all_units_and_every_word(points, extra):
    starts = np.sort(np.array(points))
    times = WordTimes(starts, starts, 1.0)
    num_units = len(points) + extra
    durations = unit_durations(times, num_units)
    assert durations.dtype == np.int32
    assert durations.sum() == num_units
    assert (durations >= 1).all()


def test_unit_durations_follow_the_times_and_keep_leading_silence():
    times = WordTimes(np.array([0.2, 0.52, 1.0]), np.zeros(3), 2.0)
    assert unit_durations(times, 50).tolist() == [13, 12, 25]
    with pytest.raises(ValueError, match="2 units cannot cover 3 words"):
        unit_durations(times, 2)


def test_word_prosody_of_a_known_contour():
    f0 = np.array([100.0] * 10 + [0] * 10 + [200.0] * 10)
    times = WordTimes(np.array([0.0, 0.1, 0.2]), np.array([0.1, 0.15, 0.3]), 0.4)
    prosody, total = word_prosody(times, f0, 0.01)
    mean = np.log([100.0, 200.0]).mean()
    assert prosody[:, 0] == pytest.approx([np.log(100), mean, np.log(200)])
    assert np.exp(prosody[:, 1]) == pytest.approx([0.1, 0.05, 0.1])
    assert prosody[:, 2] == pytest.approx([0, 0.05, 0.1], abs=1e-6)
    assert total == pytest.approx([20 * mean, 20])
