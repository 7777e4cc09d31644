import json

import numpy as np
import pytest

from espnet2_taste.evaluate.bitrate import entropies, entropy_bitrate, nominal_bitrate
from espnet2_taste.evaluate.codebook import utilisation
from espnet2_taste.evaluate.unit_accuracy import read_unit_accuracy

# Codebook 0: uniform over 4 of 8 entries (2 bits). Codebook 1: 3/4, 1/4 (.811 bits).
CODES = np.array([[0, 0], [1, 0], [2, 0], [3, 1]])


def test_entropy_and_bitrates_by_hand():
    expected = 0.75 * np.log2(4 / 3) + 0.25 * 2
    assert entropies(CODES, [8, 2]) == pytest.approx([2.0, expected])
    assert nominal_bitrate(4, [8, 2], seconds=2.0) == 8.0
    assert entropy_bitrate(CODES, [8, 2], 2.0) == pytest.approx(2 * (2 + expected))
    assert entropies(np.zeros((5, 1), int), [4]) == pytest.approx([0.0])


def test_codes_outside_the_codebook_are_an_error():
    with pytest.raises(ValueError, match="codebook sizes are"):
        entropies(CODES, [3, 2])
    with pytest.raises(ValueError, match="do not fit 1 codebooks"):
        entropies(CODES, [8])


def test_utilisation_by_hand():
    assert utilisation(CODES, [8, 2]) == pytest.approx([0.5, 1.0])


def test_unit_accuracy_is_per_utterance(tmp_path):
    assert read_unit_accuracy(tmp_path) == {}
    counts = {"a": (0.5, 100), "b": (0.8, 300), "c": (0.0, 0)}
    with open(tmp_path / "unit_accuracy.jsonl", "w") as lines:
        for utt, (top1, count) in counts.items():
            entry = {"key": utt, "top1": top1, "top5": 1.0, "count": count}
            lines.write(json.dumps(entry) + "\n")
    found = read_unit_accuracy(tmp_path)
    assert found["unit_top1"].ids == ["a", "b", "c"]
    assert found["unit_top1"].value() == pytest.approx(0.725)
    assert found["unit_top1"].values() == pytest.approx([0.5, 0.8, np.nan], nan_ok=True)
    assert found["unit_top5"].value() == pytest.approx(1)
