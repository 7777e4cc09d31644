import math

import numpy as np
import pytest

from espnet2_taste.evaluate.comparison import compare, holm, two_sided_p
from espnet2_taste.evaluate.statistics import Statistics


def test_hand_made_case():
    """Ten utterances of ten words; the systems differ in the first by two errors.

    A draw has it k times, k binomial (10, 0.1): the difference is -0.02 k. P(k = 0) =
    0.9^10 = 0.349, so that p = 2 P(difference >= 0) = 0.697; P(k <= 2) = 0.930 and
    P(k <= 3) = 0.987 give the interval [-0.06, 0].
    """
    ids = [f"u{i}" for i in range(10)]
    one = Statistics("ratio", ids, [[3, 10]] + [[1, 10]] * 9)
    two = Statistics("ratio", ids, [[1, 10]] * 10)
    found = compare([[one], [two]])
    assert found.ids == ids and found.total == 10 and found.left_out == [0, 0]
    first, second = found.systems
    assert first.value == pytest.approx(0.12) and math.isnan(first.difference)
    assert (first.low, first.high) == pytest.approx((0.10, 0.16))
    assert second.value == pytest.approx(0.1)
    assert (second.low, second.high) == pytest.approx((0.1, 0.1))
    assert second.difference == pytest.approx(-0.02)
    bounds = second.difference_low, second.difference_high
    assert bounds == pytest.approx((-0.06, 0.0))
    assert second.p == pytest.approx(2 * 0.9**10, abs=0.02)
    swapped = compare([[two], [one]]).systems[1]
    assert swapped.difference == pytest.approx(0.02)
    assert swapped.p == pytest.approx(second.p)


def test_equals_a_direct_bootstrap_of_utterances():
    """Seeds averaged in every resample; drawn utterance by utterance, metric anew."""
    rng = np.random.default_rng(3)
    ids = [f"u{i}" for i in range(40)]
    words = rng.integers(3, 12, 40)
    errors = rng.binomial(words, 0.30), rng.binomial(words, 0.26)
    other = rng.binomial(words, 0.22)

    def ratio(e):
        return Statistics("ratio", ids, np.stack([e, words], axis=1))

    found = compare([[ratio(errors[0]), ratio(errors[1])], [ratio(other)]]).systems
    rng = np.random.default_rng(4)
    values = []
    for _ in range(10_000):
        drawn = rng.integers(0, 40, 40)
        n = words[drawn].sum()
        mean = np.mean([e[drawn].sum() / n for e in errors])
        values.append((mean, other[drawn].sum() / n))
    first, second = np.array(values).T
    assert (found[0].low, found[0].high) == pytest.approx(
        np.percentile(first, [2.5, 97.5]), abs=4e-3
    )
    bounds = found[1].difference_low, found[1].difference_high
    assert bounds == pytest.approx(np.percentile(second - first, [2.5, 97.5]), abs=4e-3)
    direct = 2 * min(np.mean(second >= first), np.mean(second <= first))
    assert found[1].p == pytest.approx(direct, abs=0.02) and 0 < direct < 0.5


def test_pairs_utterances_that_all_systems_have():
    """Order does not matter; utterances a system lacks, or with empty sums, go."""
    one = Statistics("ratio", ["a", "b", "c"], [[1, 4], [2, 4], [9, 9]])
    seeds = [
        Statistics("ratio", ["b", "d"], [[1, 4], [9, 9]]),
        Statistics("ratio", ["a", "b", "c", "d"], [[3, 4], [1, 4], [0, 0], [9, 9]]),
    ]
    assert seeds[1].scored == ["a", "b", "d"]
    found = compare([[one], seeds], resamples=100)
    assert found.ids == ["a", "b"] and found.total == 4
    assert found.left_out == [1, 1]
    # The first seed has no a: its value is that of b, 1/4; the second's is 4/8.
    assert [s.value for s in found.systems] == [3 / 8, (1 / 4 + 4 / 8) / 2]
    with pytest.raises(ValueError, match="no utterance"):
        compare([[one], [Statistics("ratio", ["z"], [[1, 4]])]])


def test_few_utterances_have_no_interval():
    ids = [f"u{i}" for i in range(9)]
    one, two = (Statistics("ratio", ids, [[n, 4]] * 9) for n in (1, 2))
    second = compare([[one], [two]]).systems[1]
    assert second.difference == 0.25
    assert math.isnan(second.p) and math.isnan(second.difference_low)


def test_a_system_equals_itself_and_undefined_is_nan():
    ids = [f"u{i}" for i in range(12)]
    same = Statistics("ratio", ids, [[1, 4]] * 6 + [[2, 4]] * 6)
    found = compare([[same], [same]], resamples=200).systems[1]
    assert found.difference == 0 and found.p == 1
    flat = Statistics.correlation(ids, np.ones(12), np.arange(12.0), np.arange(12))
    found = compare([[flat], [flat]], resamples=10).systems[1]
    assert math.isnan(found.value) and math.isnan(found.p)
    assert math.isnan(found.difference_low)


def test_p_is_never_zero():
    assert two_sided_p(np.full(999, -1.0)) == 2 / 1000
    assert two_sided_p(np.array([-1.0, 0.0, 1.0, math.nan])) == 1.0


def test_holm():
    # 0.01 * 4, 0.02 * 3, max(0.03 * 2, 0.06), 0.5
    got = holm([0.5, 0.01, math.nan, 0.03, 0.02])
    assert [got[i] for i in (0, 1, 3, 4)] == pytest.approx([0.5, 0.04, 0.06, 0.06])
    assert math.isnan(got[2]) and holm([0.9, 0.8]) == [1.0, 1.0]
