import numpy as np
import pytest

from espnet2_taste.evaluate.results import write_statistics
from espnet2_taste.evaluate.score_folder import read_statistics
from espnet2_taste.evaluate.statistics import Statistics

STATISTICS = {
    ("reconstruction", "taste:0", "wer"): Statistics("ratio", ["a", "ü"], [[1, 3]] * 2),
    ("reconstruction", "taste:1", "wer"): Statistics("ratio", ["a", "ü"], [[2, 3]] * 2),
    ("qa", "none", "accuracy"): Statistics("ratio", [], []),
    ("continuation", "taslm", "f0"): Statistics("pearson", ["a"], np.ones((1, 6)) / 3),
}


def test_there_and_back(tmp_path):
    path = tmp_path / "statistics.npz"
    write_statistics(path, STATISTICS)
    found = read_statistics(path)
    assert list(found) == list(STATISTICS)
    for key, entry in STATISTICS.items():
        assert found[key].kind == entry.kind and found[key].ids == entry.ids
        assert (found[key].sums == entry.sums).all()
    assert [p.name for p in tmp_path.iterdir()] == ["statistics.npz"]
    with np.load(path, allow_pickle=False) as arrays:
        assert sum(name.startswith("ids_") for name in arrays) == 3  # each list once


@pytest.mark.parametrize("damage", ["truncated", "text", "other", "kind"])
def test_damaged_file_is_one_line(tmp_path, damage):
    path = tmp_path / "statistics.npz"
    write_statistics(path, STATISTICS)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:100])
    elif damage == "text":
        path.write_text("x")
    elif damage == "other":
        np.savez(path, a=np.zeros(3))
    else:
        np.savez(path, index=np.array('[["t", "r", "m", "median", 0]]'), ids_0=[])
    with pytest.raises(ValueError, match="statistics.npz holds no statistics"):
        read_statistics(path)


def test_absent_file_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="run espnet2_taste.bin.score"):
        read_statistics(tmp_path / "statistics.npz")
