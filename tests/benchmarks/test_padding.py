import numpy as np
import pytest

from benchmarks.padding import batches, main, of_data, padding, table
from espnet2_taste.text.tokenizers import build_text_tokenizer

LENGTHS = np.array([4, 1, 3, 2, 4, 2])


def test_padding_by_hand():
    groups = [np.array([0, 1]), np.array([2, 3]), np.array([4, 5])]
    assert padding(groups, LENGTHS) == pytest.approx(1 - 16 / (2 * (4 + 3 + 4)))


def test_sorted_batches_have_the_least():
    groups = batches("sorted", LENGTHS, 2)
    assert sorted(np.concatenate(groups)) == list(range(6))
    assert padding(groups, LENGTHS) == pytest.approx(1 - 16 / (2 * (2 + 3 + 4)))


def test_a_data_directory(tiny_data):
    tokenizer = build_text_tokenizer("char", str(tiny_data / "char.txt"))
    found = of_data(tiny_data, tokenizer)
    assert list(found["words"]) == [3, 4, 4, 2, 2, 4]
    assert list(found["samples"] // 640) == list(found["units"])
    assert found["tokens"][3] == len(" a lamp")
    command = ["--data_dir", str(tiny_data), "--token_type", "char"]
    command += ["--token_model", str(tiny_data / "char.txt"), "--batch_size", "2"]
    rows = main([*command, "--lm_batch_size", "3"]).splitlines()
    assert rows == table(found, 2, 3).splitlines() and len(rows) == 6
