"""Codes of prompts: the control's are other utterances', read when asked for."""

import numpy as np
import pytest

from espnet2_taste.taslm.prompts import ShuffledCodes


class Codes(dict):
    """Two rows an utterance, which tell whose they are; remembers what was read."""

    def __init__(self, names):
        super().__init__({name: np.full((2, 3), i) for i, name in enumerate(names)})
        self.read = []

    def __getitem__(self, name):
        self.read.append(name)
        return super().__getitem__(name)


def test_shuffled_codes_are_others_and_read_late():
    codes = Codes("abcde")
    shuffled = ShuffledCodes(codes, {"b": 40, "c": 1}, seed=0)
    assert len(shuffled) == 2 and not codes.read
    rows = shuffled["b"]
    assert rows.shape == (40, 3) and set(rows[:, 0]) == {0, 2, 3, 4}
    assert len(codes.read) == 40
    shard = ShuffledCodes(codes, {"b": 40}, seed=0)  # draws as all do together
    np.testing.assert_array_equal(shard["b"], rows)
    assert (ShuffledCodes(codes, {"b": 40}, seed=1)["b"] != rows).any()


def test_no_words_have_no_codes():
    assert ShuffledCodes(Codes("ab"), {"a": 0}, seed=0)["a"].shape == (0, 3)
    with pytest.raises(ValueError, match="at least two utterances"):
        ShuffledCodes(Codes("a"), {"a": 1}, seed=0)
