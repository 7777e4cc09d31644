import numpy as np
import pytest

from espnet2_taste.evaluate.results import average_seeds, seed_interval
from espnet2_taste.evaluate.rows import Row
from espnet2_taste.evaluate.statistics import Statistics, interval, resampled


def scores(seed, statistics):
    return Row("taste", seed, statistics=statistics)


def mean_of(values):
    return Statistics.mean({f"u{i}": v for i, v in enumerate(values)})


def test_seeds_are_averaged():
    one, two = mean_of([0.0, 1.0]), mean_of([1.0, 1.0])
    undefined = Statistics("ratio", [], [])
    rows = [scores("0", {"a": one, "b": one}), scores("1", {"a": two, "b": undefined})]
    table = average_seeds([*rows, Row("copy", statistics={"a": one})])
    assert table["taste"]["seeds"] == ["0", "1"] and list(table) == ["taste", "copy"]
    assert table["taste"]["metrics"]["a"] == {
        "mean": 0.75,
        "spread": 0.25,
        "values": [0.5, 1.0],
        "interval": None,  # of two utterances
        "utterances": [2, 2],
    }
    assert table["taste"]["metrics"]["b"]["mean"] is None
    assert table["taste"]["metrics"]["b"]["values"] == [0.5, None]
    assert table["taste"]["metrics"]["b"]["utterances"] == [2, 0]
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


def test_what_was_not_scored_does_not_count_as_utterances():
    """Forty utterances, of which nine have words: too few for an interval."""
    sums = np.zeros((40, 2))
    sums[:9, 1], sums[::2, 0] = 4, sums[::2, 1] / 4
    ids = [f"u{i}" for i in range(40)]
    few = Statistics("ratio", ids, sums)
    assert few.scored == ids[:9] and seed_interval([few]) is None
    assert average_seeds([scores("0", {"a": few})])["taste"]["metrics"]["a"][
        "utterances"
    ] == [9]
    assert seed_interval([Statistics("ratio", ids, sums + [0, 1])]) is not None


def test_p_is_of_the_difference_to_one_row():
    rng = np.random.default_rng(0)
    values = rng.normal(size=40)
    rows = [
        Row("taste", statistics={"a": mean_of(values), "b": mean_of(values)}),
        Row(
            "other",
            statistics={
                "a": mean_of(values + 1 + 0.1 * rng.normal(size=40)),
                "b": mean_of(values + 0.1 * rng.normal(size=40)),
                "c": mean_of(values),
            },
        ),
    ]
    table = average_seeds(rows, "taste")
    other = table["other"]["metrics"]
    assert other["a"]["p"] < 0.05 < other["b"]["p"] and "p" not in other["c"]
    assert "p" not in table["taste"]["metrics"]["a"]
