import pytest
import torch

from espnet2_taste.asr.ctc_alignment import align_words


def peaked(frames, vocab=6):
    logits = torch.full((len(frames), vocab), -8.0)
    logits[torch.arange(len(frames)), torch.tensor(frames)] = 8.0
    return logits.log_softmax(-1)


def test_word_spans_are_the_first_frames_of_first_and_last_characters():
    # words [2, 3] and [3, 3], space 1, blank 0
    frames = [0, 2, 2, 0, 3, 1, 0, 3, 0, 3, 3, 0]
    spans, confidence = align_words(peaked(frames), [[2, 3], [3, 3]], [1, 1])
    assert spans.tolist() == [[1, 4], [7, 9]] and confidence > 0.99
    assert align_words(peaked(frames), [[4, 5], [2]], [1, 1])[1] < 1e-5  # other words
    assert align_words(peaked([0] * 12), [[2, 3], [3]], [1, 1])[1] < 1e-5  # silence


def test_too_few_frames_is_an_error():
    with pytest.raises(ValueError, match="2 frames cannot hold 3 tokens"):
        align_words(peaked([2, 3]), [[2, 3, 4]], [1])
