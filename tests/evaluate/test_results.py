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


def test_what_too_few_say_is_not_told_apart():
    """Nine utterances, or none in common: there is a p, and it is undefined."""
    ids = [f"u{i}" for i in range(24)]
    statistics = {
        "few": [Statistics.mean(dict.fromkeys(ids[:9], x)) for x in (0, 1)],
        "apart": [Statistics.mean(dict.fromkeys(s, 1)) for s in (ids[:12], ids[12:])],
        "lost": [mean_of(range(12)), Statistics("ratio", [], [])],
    }
    sides = [{key: s[i] for key, s in statistics.items()} for i in (0, 1)]
    rows = [Row(name, statistics=s) for name, s in zip("ab", sides, strict=True)]
    found = average_seeds(rows, "a")["b"]["metrics"]
    assert found["few"]["p"] is None and found["apart"]["p"] is None
    assert "p" not in found["lost"]


def test_p_is_of_the_difference_to_chance():
    """Holm's over the table: what one row alone would be told by, sixty are not."""
    right = Statistics.mean({f"u{i}": float(i >= 12) for i in range(40)})
    half = Statistics.mean({f"u{i}": i % 2 for i in range(40)})
    sure, few = (Statistics.mean({f"u{i}": 1 for i in range(n)}) for n in (40, 9))
    columns = [{"key": "a", "chance": 0.5}, {"key": "b", "chance": None}]
    rows = [Row("set", statistics={"a": right, "b": right})]
    alone = average_seeds(rows, columns=columns)["set"]["metrics"]
    assert alone["a"]["p"] < 0.05 and "p" not in alone["b"]
    rows += [Row(f"task{i}", statistics={"a": half}) for i in range(60)]
    rows += [Row("sure", statistics={"a": sure}), Row("few", statistics={"a": few})]
    table = average_seeds(rows, columns=columns)
    p = {name: row["metrics"]["a"]["p"] for name, row in table.items()}
    assert p["set"] > 0.05 > p["sure"] and p["task0"] == 1 and p["few"] is None
