import kaldiio
import numpy as np
import pytest

from espnet2_taste.evaluate.codes import (
    bitrate_statistics,
    read_code_set,
    read_units,
    score_codes,
    score_units,
)
from espnet2_taste.taste.taste_spec import TasteSpec
from espnet2_taste.units.unit_spec import UnitSpec


def test_bit_rate_by_hand():
    # 3 and 1 vectors of 2 + 3 bits, in 2 s and 0.5 s.
    codes = {
        "a": np.zeros((3, 2), int),
        "b": np.zeros((1, 2), int),
        "c": np.ones((1, 2)),
    }
    found = bitrate_statistics(codes, [4, 8], {"a": 2.0, "b": 0.5, "d": 1.0})
    assert found.ids == ["a", "b"] and found.values().tolist() == [7.5, 10.0]
    assert found.value() == pytest.approx(20 / 2.5)


def test_units_have_the_extractors_entries_or_those_seen(tmp_path):
    arrays = {"a": np.array([0, 7, 1], np.int32), "b": np.array([2], np.int32)}
    kaldiio.save_ark(str(tmp_path / "u.ark"), arrays, str(tmp_path / "units.scp"))
    units, sizes = read_units(tmp_path / "units.scp")
    assert sizes == [8] and units["a"].shape == (3, 1)
    found = score_units(units, sizes, {"a": 1.5, "b": 0.5})
    assert found["units_per_second"] == 2 and found["unit_bitrate"] == 6
    assert found["unit_entropy_bitrate"] == pytest.approx(4)  # four units, once each
    (tmp_path / UnitSpec.FILE).write_text(UnitSpec(64).text())
    units, sizes = read_units(tmp_path / "units.scp")
    assert score_units(units, sizes, {"a": 1.5, "b": 0.5})["unit_bitrate"] == 12


def test_rates_are_of_utterances_with_codes_and_audio():
    codes = {"a": np.array([[0, 0], [1, 0]]), "b": np.array([[2, 1]] * 9)}
    found = score_codes(codes, [4, 2], {"a": 0.5, "b": 0.0, "c": 100.0})
    assert found["vectors_per_second"] == 4 and found["nominal_bitrate"] == 12
    assert found["entropy_bitrate"] == 4  # one bit, and none
    assert found["utilisation_per_codebook"] == [0.5, 0.5]
    with pytest.raises(ValueError, match="no utterance has codes and audio"):
        score_codes(codes, [4, 2], {"c": 100.0})


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
