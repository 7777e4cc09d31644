from pathlib import Path

import numpy as np
import pytest

from espnet2_taste.metrics.rows import Row
from espnet2_taste.metrics.scores import RowScores, average_seeds, seed_interval
from espnet2_taste.metrics.statistics import Statistics, interval, resampled


def scores(seed, statistics):
    return RowScores(Row("taste", seed, Path(".")), statistics)


def mean_of(values):
    return Statistics.mean({f"u{i}": v for i, v in enumerate(values)})


def test_seeds_are_averaged():
    one, two = mean_of([0.0, 1.0]), mean_of([1.0, 1.0])
    undefined = Statistics("ratio", [], [])
    rows = [scores("0", {"a": one, "b": one}), scores("1", {"a": two, "b": undefined})]
    table = average_seeds([*rows, RowScores(Row("copy", "", Path(".")), {"a": one})])
    assert table["taste"]["seeds"] == ["0", "1"] and list(table) == ["taste", "copy"]
    assert table["taste"]["metrics"]["a"] == {
        "mean": 0.75,
        "spread": 0.25,
        "values": [0.5, 1.0],
        "interval": None,  # of two utterances
    }
    assert table["taste"]["metrics"]["b"]["mean"] is None
    assert table["taste"]["metrics"]["b"]["values"] == [0.5, None]
    assert table["copy"]["metrics"]["a"]["spread"] is None
    assert table["taste"]["errors"] == [None, None]


def test_interval_of_seeds_that_share_utterances():
    rng = np.random.default_rng(0)
    values = rng.normal(size=40)
    one = mean_of(values)
    alone = seed_interval([one])
    assert alone == pytest.approx(list(interval(resampled([one])[0])))
    # The same values twice say nothing new; opposite ones leave nothing to vary.
    assert seed_interval([one, one]) == pytest.approx(alone)
    assert seed_interval([one, mean_of(-values)]) == pytest.approx([0, 0], abs=1e-12)
    # A seed that lacks an utterance is compared on what it has.
    low, high = seed_interval([one, mean_of(values[1:])])
    assert low < values.mean() < high
