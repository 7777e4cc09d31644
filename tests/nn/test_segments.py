import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_taste.nn.segments import (
    average_segments,
    count_segments,
    length_mask,
    pool_segments,
    segment_starts,
    spread_segments,
)

word_lengths = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=5), min_size=1)


def make_batch(items, pad=0):
    ids = [[w for w, n in enumerate(item) for _ in range(n)] for item in items]
    size = max(map(len, ids))
    word_ids = torch.tensor([row + [pad] * (size - len(row)) for row in ids])
    return word_ids, torch.tensor([len(row) for row in ids])


@settings(max_examples=50, deadline=None)
@given(word_lengths, st.integers(0, 3))
def test_pooling_matches_a_loop_whatever_the_padding(items, pad):
    word_ids, lengths = make_batch(items, pad)
    hidden = torch.randn(*word_ids.shape, 2, dtype=torch.double)
    num_words = max(map(len, items))
    pooled = pool_segments(hidden, word_ids, lengths, num_words)
    averaged = average_segments(hidden, word_ids, lengths)
    starts = segment_starts(word_ids, lengths)
    for b, item in enumerate(items):
        position = 0
        for w, n in enumerate(item):
            mean = hidden[b, position : position + n].mean(0)
            torch.testing.assert_close(pooled[b, w], mean)
            torch.testing.assert_close(
                averaged[b, position : position + n], mean.expand(n, 2)
            )
            assert starts[b, position : position + n].tolist() == [True] + [False] * (
                n - 1
            )
            position += n
        assert not pooled[b, len(item) :].any()
        torch.testing.assert_close(averaged[b, position:], hidden[b, position:])
        assert not starts[b, position:].any()
    assert count_segments(word_ids, lengths).tolist() == [len(item) for item in items]
    valid = length_mask(lengths)
    torch.testing.assert_close(
        spread_segments(pooled, word_ids)[valid], averaged[valid], rtol=0, atol=1e-12
    )


def test_single_word_utterance_is_averaged_despite_zero_padding():
    """The reference mixes padding into it (its quirk Q2)."""
    word_ids, lengths = make_batch([[2], [3, 2]], pad=0)
    hidden = torch.arange(10.0).reshape(2, 5, 1)
    averaged = average_segments(hidden, word_ids, lengths)
    assert averaged[0, :2, 0].tolist() == [0.5, 0.5]
