import numpy as np
import pytest

from espnet2_taste.evaluate.statistics import Statistics, interval, resampled


def test_values_of_each_kind():
    ratio = Statistics("ratio", ["a", "b"], [[1, 4], [2, 2]])
    assert ratio.value() == 0.5
    assert ratio.values().tolist() == [0.25, 1.0]
    assert Statistics("rms", ["a", "b"], [[9, 1], [7, 3]]).value() == 2.0
    assert np.isnan(Statistics("ratio", [], []).value())
    assert Statistics.mean({"a": 1.0, "b": float("nan"), "c": 2.0}).value() == 1.5


def test_correlation_is_pearsons():
    rng = np.random.default_rng(0)
    x = rng.normal(size=50) + 1e6
    y = 0.5 * x + rng.normal(size=50)
    y[7] = np.nan
    item = np.sort(rng.integers(0, 9, size=50))
    found = Statistics.correlation([str(i) for i in range(9)], x, y, item)
    keep = np.isfinite(y)
    direct = np.corrcoef(x[keep], y[keep])[0, 1]
    assert found.value() == pytest.approx(direct, abs=1e-9)
    # dx = -1 0 1, dy = -1 1 0: 1 / (sqrt 2 sqrt 2)
    three = Statistics.correlation(["a"], [1, 2, 3], [1, 3, 2], np.zeros(3, int))
    assert three.value() == pytest.approx(0.5)
    for x in ([1.0, 1.0, 1.0], [0.1] * 3, [1.0, 2.0, np.nan]):
        for pair in ((x, [1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], x)):
            found = Statistics.correlation(
                ["a"], *map(np.array, pair), np.zeros(3, int)
            )
            assert np.isnan(found.value())


def test_resampling_is_that_of_the_utterances():
    """Counts @ sums gives what a metric of the drawn utterances would."""
    rng = np.random.default_rng(1)
    errors = Statistics("ratio", list("abcdefgh"), rng.integers(1, 9, size=(8, 2)))
    found = resampled([errors], resamples=2000)[0]
    drawn = rng.integers(0, 8, size=(2000, 8))
    direct = errors.sums[drawn].sum(1)
    direct = direct[:, 0] / direct[:, 1]
    assert found.mean() == pytest.approx(direct.mean(), rel=0.02)
    assert found.std() == pytest.approx(direct.std(), rel=0.1)


def test_interval_covers_the_mean():
    """Of 200 samples with mean 0, about 95 % of the intervals hold it."""
    rng = np.random.default_rng(2)
    hits = 0
    for seed in range(200):
        values = dict(enumerate(rng.normal(size=60)))
        sample = Statistics.mean({str(k): v for k, v in values.items()})
        low, high = interval(resampled([sample], 400, seed)[0])
        hits += low < 0 < high
    assert 0.9 <= hits / 200 <= 0.985


def test_pairing_removes_what_both_share():
    """Same utterances drawn for both: the difference varies less than either."""
    rng = np.random.default_rng(3)
    hard = rng.normal(size=100)
    one = Statistics.mean({str(i): v for i, v in enumerate(hard)})
    two = Statistics.mean(
        {str(i): v + 0.1 for i, v in enumerate(hard + rng.normal(size=100) * 0.01)}
    )
    a, b = resampled([one, two])
    low, high = interval(b - a)
    assert 0.09 < low < high < 0.11 and (b - a).std() < 0.1 * a.std()
    with pytest.raises(ValueError, match="same utterances"):
        resampled([one, two.over(two.ids[1:])])


def test_over_other_utterances():
    one = Statistics("ratio", ["a", "b"], [[1, 2], [3, 4]])
    assert one.over(["b", "c"]).sums.tolist() == [[3, 4], [0, 0]]
    assert one.over(["c", "b", "a"]).value() == one.value()
    assert Statistics("pearson", [], []).over(["a"]).sums.shape == (1, 6)
