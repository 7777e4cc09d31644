import math

import numpy as np
import pytest

from espnet2_taste.metrics.correlation import pearson
from espnet2_taste.metrics.words import normalise_words


def test_pearson_matches_numpy_and_leaves_nan_out():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(50)
    y = 0.5 * x + rng.standard_normal(50)
    expected = np.corrcoef(x, y)[0, 1]
    assert pearson(x, y) == pytest.approx(expected, abs=1e-12)
    padded = np.append(x, [np.nan, 3.0]), np.append(y, [1.0, np.nan])
    assert pearson(*padded) == pytest.approx(expected, abs=1e-12)


def test_pearson_by_hand():
    # dx = -1 0 1, dy = -1 1 0: 1 / (sqrt 2 sqrt 2)
    assert pearson([1, 2, 3], [1, 3, 2]) == pytest.approx(0.5)


@pytest.mark.parametrize("x", [[1.0, 1.0, 1.0], [0.1] * 3, [1.0, 2.0, np.nan]])
def test_pearson_is_undefined_not_zero(x):
    assert math.isnan(pearson(x, [1.0, 2.0, 3.0]))
    assert math.isnan(pearson([1.0, 2.0, 3.0], x))


def test_pearson_refuses_unpaired_values():
    with pytest.raises(ValueError, match="cannot be paired"):
        pearson([1, 2], [1, 2, 3])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't - stop, 'Bob'!", ["don't", "stop", "bob"]),
        ("it\u2019s  2_3", ["it's", "2", "3"]),
        ("\u00c9t\u00e9 \u6771\u4eac", ["\u00e9t\u00e9", "\u6771\u4eac"]),
        ("...", []),
    ],
)
def test_normalise_words(text, words):
    assert normalise_words(text) == words
