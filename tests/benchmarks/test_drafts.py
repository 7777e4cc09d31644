import numpy as np
import pytest
import torch

from benchmarks.drafts import follows, taken, with_advance
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling


def test_what_follows_is_counted():
    found = follows([np.array([0, 1, 1]), np.array([0, 1])], size=3, prior=1e-9)
    assert found.shape == (4, 3) and np.allclose(found.sum(1), 1)
    assert found[3] == pytest.approx([1, 0, 0], abs=1e-6)  # both begin with 0
    assert found[0] == pytest.approx([0, 1, 0], abs=1e-6)
    alone = follows([np.array([0, 1, 1]), np.array([0, 1])], size=3, prior=1e9)
    assert alone[0] == pytest.approx([0.4, 0.6, 0.0], abs=0.01)


def test_units_are_taken_as_often_as_both_say_them():
    logits = torch.tensor([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]).log()
    draft = torch.tensor([[0.2, 0.2, 0.6], [0.5, 0.3, 0.2]])
    assert taken(logits, draft, Sampling(top_k=3)).tolist() == pytest.approx([0.6, 1.0])
    # of two candidates: .625 and .375
    assert taken(logits, draft, Sampling(top_k=2)).tolist() == pytest.approx([0.4, 0.8])


def test_a_word_ends_with_a_token():
    units = with_advance(np.array([4, 5, 6]), np.array([2, 1]), 9)
    assert units.tolist() == [4, 5, 9, 6, 9]
