import json

import kaldiio
import numpy as np
import pytest

from espnet2_taste.evaluate.codes import (
    bits,
    entropies,
    read_code_set,
    read_units,
    score_all,
    score_codes,
    score_text,
    utilisation,
)
from espnet2_taste.evaluate.rows import Measures, Row
from espnet2_taste.evaluate.scorers.beside import BitRate, UnitAccuracy
from espnet2_taste.taste.taste_spec import TasteSpec
from espnet2_taste.units.unit_spec import UnitSpec


def test_bit_rate_by_hand():
    # 3 and 1 vectors of 2 + 3 bits, in 2 s and 0.5 s.
    codes = {
        "a": np.zeros((3, 2), int),
        "b": np.zeros((1, 2), int),
        "c": np.ones((1, 2)),
    }
    source = BitRate({"taste": bits((codes, [4, 8]))})
    original = Row("original")
    length = {"a": 2.0, "b": 0.5, "d": 1.0}
    original.measures = {u: Measures([], seconds=s) for u, s in length.items()}
    found = source.score(Row("taste"), original)["bitrate"]
    assert found.ids == ["a", "b"] and found.values().tolist() == [7.5, 10.0]
    assert found.value() == pytest.approx(20 / 2.5)
    assert source.score(Row("copy"), original) == {}


def test_bits_of_a_text():
    found = score_text({"a": "abab", "b": "é", "c": "lost"}, {"a": 1.0, "b": 1.0})
    assert found["text_bitrate"] == (4 + 2) * 8 / 2
    entropy = 2 * 0.4 * np.log2(2.5) + 0.2 * np.log2(5)
    assert found["text_entropy_bitrate"] == pytest.approx(5 * entropy / 2)
    assert score_text({"a": "b"}, {}) == {}


def test_units_have_the_extractors_entries_or_those_seen(tmp_path):
    arrays = {"a": np.array([0, 7, 1], np.int32), "b": np.array([2], np.int32)}
    kaldiio.save_ark(str(tmp_path / "u.ark"), arrays, str(tmp_path / "units.scp"))
    units, sizes = read_units(tmp_path / "units.scp")
    assert sizes == [8] and units["a"].shape == (3, 1)
    path, seconds = tmp_path / "units.scp", {"a": 1.5, "b": 0.5}
    found, _ = score_all(None, None, path, {}, seconds)
    assert found["units_per_second"] == 2 and found["unit_bitrate"] == 6
    assert found["unit_entropy_bitrate"] == pytest.approx(4)  # four units, once each
    (tmp_path / UnitSpec.FILE).write_text(UnitSpec(64).text())
    assert score_all(None, None, path, {}, seconds)[0]["unit_bitrate"] == 12


def test_rates_are_of_utterances_with_codes_and_audio():
    codes = {"a": np.array([[0, 0], [1, 0]]), "b": np.array([[2, 1]] * 9)}
    found = score_codes((codes, [4, 2]), {"a": 0.5, "b": 0.0, "c": 100.0})
    assert found["vectors_per_second"] == 4 and found["nominal_bitrate"] == 12
    assert found["entropy_bitrate"] == 4  # one bit, and none
    assert found["utilisation_per_codebook"] == [0.5, 0.5]
    with pytest.raises(ValueError, match="no utterance has codes and audio"):
        score_codes((codes, [4, 2]), {"c": 100.0})


def test_sizes_and_codes_must_fit(tmp_path):
    arrays = {"a": np.array([0, 1, 2, 3], np.int32)}
    scp = tmp_path / "taste.scp"
    kaldiio.save_ark(str(tmp_path / "t.ark"), arrays, str(scp))
    with pytest.raises(FileNotFoundError, match="taste_spec.yaml"):
        read_code_set(scp)
    (tmp_path / "taste_spec.yaml").write_text(TasteSpec(2, 4, "token").text())
    assert TasteSpec.beside(scp) == TasteSpec(2, 4, "token")
    codes, sizes = read_code_set(scp)
    assert codes["a"].tolist() == [[0, 1], [2, 3]] and sizes == [4, 4]
    (tmp_path / "taste_spec.yaml").write_text("codebooks: 2")
    with pytest.raises(ValueError, match="taste_spec.yaml: expected num_codebooks, co"):
        read_code_set(scp)


# Codebook 0: uniform over 4 of 8 entries (2 bits). Codebook 1: 3/4, 1/4 (.811 bits).
CODES = np.array([[0, 0], [1, 0], [2, 0], [3, 1]])


def test_entropy_and_bitrates_by_hand():
    expected = 0.75 * np.log2(4 / 3) + 0.25 * 2
    assert entropies(CODES, [8, 2]) == pytest.approx([2.0, expected])
    assert entropies(np.zeros((5, 1), int), [4]) == pytest.approx([0.0])


def test_codes_outside_the_codebook_are_an_error():
    with pytest.raises(ValueError, match="codebook sizes are"):
        entropies(CODES, [3, 2])
    with pytest.raises(ValueError, match="do not fit 1 codebooks"):
        entropies(CODES, [8])


def test_utilisation_by_hand():
    assert utilisation(CODES, [8, 2]) == pytest.approx([0.5, 1.0])


def test_unit_accuracy_is_per_utterance(tmp_path):
    assert UnitAccuracy().score(Row("a", folder=tmp_path), None) == {}
    counts = {"a": (0.5, 100), "b": (0.8, 300), "c": (0.0, 0)}
    with open(tmp_path / "unit_accuracy.jsonl", "w") as lines:
        for utt, (top1, count) in counts.items():
            entry = {"key": utt, "top1": top1, "top5": 1.0, "count": count}
            lines.write(json.dumps(entry) + "\n")
    found = UnitAccuracy().score(Row("a", folder=tmp_path), None)
    assert found["unit_top1"].ids == ["a", "b", "c"]
    assert found["unit_top1"].value() == pytest.approx(0.725)
    assert found["unit_top1"].values() == pytest.approx([0.5, 0.8, np.nan], nan_ok=True)
    assert found["unit_top5"].value() == pytest.approx(1)
