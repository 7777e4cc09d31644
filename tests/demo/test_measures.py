"""Word times by attention, and how words differ."""

import numpy as np
import pytest
from visitors import humming

from espnet2_taste.demo.measures import changes, measure, word_spans


def ideal(edges, frames):
    """Attention that is 1 between the edges of a word."""
    attention = np.full((len(edges) - 1, frames), 1e-4)
    for word, (start, stop) in enumerate(zip(edges, edges[1:], strict=False)):
        attention[word, start:stop] = 1
    return attention


def test_spans_follow_attention():
    edges = [3, 10, 12, 30, 38]
    found = word_spans(ideal(edges, 40), np.array([7.0, 3, 16, 8]), 3, 38)
    assert found.tolist() == [[3, 10], [10, 12], [12, 30], [30, 38]]


def test_spans_are_the_best_division():
    """Against all divisions of a random map."""
    from itertools import combinations

    attention, sizes = np.random.default_rng(0).random((3, 9)) ** 3, np.arange(1.0, 4)
    shares = np.log(attention / attention.sum(0) + 0.02)

    def score(cuts):
        parts = list(zip((0, *cuts), (*cuts, 9), strict=True))
        lengths = np.log([b - a for a, b in parts]) - np.log(sizes / 6 * 9)
        said = sum(shares[w, a:b].sum() for w, (a, b) in enumerate(parts))
        return said - 20 * np.square(lengths).sum()

    best = max(combinations(range(1, 9), 2), key=score)
    found = word_spans(attention, sizes, 0, 9)
    assert tuple(found[1:, 0]) == best


@pytest.mark.parametrize("words, frames", [(5, 5), (5, 3), (1, 1), (4, 50), (3, 1900)])
def test_every_word_has_its_place(words, frames):
    flat = np.ones((words, frames))
    found = word_spans(flat, np.arange(1.0, words + 1), frames // 4, frames)
    assert (found[:, 0] < found[:, 1]).all()
    assert found[0, 0] == frames // 4 and found[-1, 1] == pytest.approx(frames)
    assert (found[1:, 0] == found[:-1, 1]).all()


def test_longer_and_higher():
    words, edges = ["a", "b"], [0, 50, 100]
    low = measure(humming(1.0, 120), 16000, words, ideal(edges, 100))
    high = measure(humming(2.0, 240), 16000, words, ideal(edges, 100))
    for change in changes(high, low):
        assert change.longer == pytest.approx(2, rel=0.1)
        assert change.higher == pytest.approx(12, abs=0.5)


def test_silence_has_no_pitch():
    made = measure(np.zeros(16000, np.float32), 16000, ["a"], np.ones((1, 20)))
    assert np.isnan(made.word_log_f0).all() and made.durations[0] > 0
