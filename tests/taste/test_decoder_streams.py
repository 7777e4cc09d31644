"""Speech decoders while words arrive: what streams give is what generate gives."""

import random
from unittest import mock

import pytest
import test_word_synchronous as words
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_unit_transformer import build, make_batch

from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling
from espnet2_taste.taste.speech_decoder.streams import Piece


def pieces_of(cond, item, cuts):
    """Pieces of an item's words, cut before some of its words."""
    n = int(cond.text.lengths[item])
    ids, words = cond.text.ids[item, :n], cond.text.word_ids[item, :n]
    audio = None if cond.audio is None else cond.audio[item, :n]
    edges = [0, *cuts, int(words[-1]) + 1]
    pieces = []
    for start, end in zip(edges, edges[1:], strict=False):
        chosen = (words >= start) & (words < end)
        vectors = None if audio is None else audio[chosen]
        pieces.append(Piece(ids[chosen], words[chosen] - start, vectors))
    return pieces


@pytest.mark.parametrize("audio", [True, False])
def test_whole_text_streams_give_what_generate_gives(audio):
    decoder = build(max_ratio=9.0)
    cond = make_batch(audio)[0]
    sampling = Sampling(top_k=8, seed=3)
    offline = decoder.generate(cond, sampling, [5, 6, 7])
    streams = decoder.open_streams(cond.spk_emb, sampling, [5, 6, 7])
    none = torch.zeros(0)
    streams.feed([pieces_of(cond, 0, [1])[0], None, *pieces_of(cond, 2, [])])
    assert all(len(units) == 0 for units in streams.pull())
    streams.feed([pieces_of(cond, 0, [1])[1], *pieces_of(cond, 1, []), None], [0, 1, 1])
    first = streams.pull(most=3)
    assert len(first[0]) == 0 and 0 < max(map(len, first)) <= 8
    rest = streams.push([None] * 3, [True, False, False])
    assert all(len(units) == 0 for units in streams.finish())
    for i, n in enumerate(offline.lengths.tolist()):
        assert torch.equal(torch.cat([first[i], rest[i]]), offline.units[i, :n])
    with pytest.raises(ValueError, match="stream 1 has ended"):
        streams.feed([None, *pieces_of(cond, 1, []), None])
    with pytest.raises(ValueError, match="2 pieces and 2 ends for 3 streams"):
        streams.feed([none, none], [True, True])


def test_one_stream_without_lists():
    decoder = build()
    cond = make_batch(lengths=(4,), units_lengths=(6,))[0]
    offline = decoder.generate(cond, Sampling(seed=1), [9]).units[0]
    stream = decoder.open_stream(cond.spk_emb[0], Sampling(seed=1), 9)
    made = [stream.push(piece) for piece in pieces_of(cond, 0, [1, 3])]
    assert torch.equal(torch.cat([*made, stream.finish()]), offline)
    with pytest.raises(ValueError, match="at least one stream"):
        decoder.open_streams(cond.spk_emb[:0], Sampling())


def word_decoder(**conf):
    decoder = words.build(**conf)
    with torch.no_grad():
        decoder.head.bias[words.UNITS] = -1.0
    return decoder


@settings(max_examples=16, deadline=None)
@given(
    st.booleans(),
    st.sampled_from([3, 12]),
    st.sampled_from([{}, {"guidance": 0.7}, {"guidance": 0.7, "prosody_weight": 1.0}]),
    st.sampled_from([1, 8]),
    st.integers(0, 99),
)
def test_word_synchronous_streams_give_what_generate_gives(
    audio, limit, conf, top_k, seed
):
    rng = random.Random(seed)  # of the pieces and pulls
    decoder = word_decoder(max_units_per_word=limit, **conf)
    cond = words.make_batch(audio)[0]
    sampling = Sampling(top_k, seed=2)
    offline = decoder.generate(cond, sampling, [7, 8, 9])
    waiting = []
    for item, count in enumerate((3, 1, 2)):
        cuts = [cut for cut in range(1, count) if rng.random() < 0.6]
        waiting.append(pieces_of(cond, item, cuts))
    streams = decoder.open_streams(cond.spk_emb, sampling, [7, 8, 9])
    made = [[torch.zeros(0, dtype=torch.long)] for _ in waiting]
    while any(waiting):
        comes = [bool(pieces) and rng.random() < 0.5 for pieces in waiting]
        pieces = [
            queue.pop(0) if now else None
            for queue, now in zip(waiting, comes, strict=True)
        ]
        last = [now and not queue for queue, now in zip(waiting, comes, strict=True)]
        streams.feed(pieces, last)
        for _ in range(rng.randint(0, 3)):
            pulled = streams.pull(rng.randint(1, 30))
            for units, new in zip(made, pulled, strict=True):
                units.append(new)
    for units, new in zip(made, streams.finish(), strict=True):
        units.append(new)
    for i, n in enumerate(offline.lengths.tolist()):
        assert torch.equal(torch.cat(made[i]), offline.units[i, :n])


def test_word_synchronous_speaks_one_word_behind():
    decoder = word_decoder(max_units_per_word=90)  # long enough for a cache to grow
    cond = words.select(words.make_batch()[0], 0, 4)
    with torch.no_grad():
        decoder.head.bias[words.UNITS] = -4.0
    made = decoder.generate(cond, Sampling(top_k=8, seed=2), [7])
    stream = decoder.open_stream(cond.spk_emb[0], Sampling(top_k=8, seed=2), 7)
    chunks = [stream.push(piece) for piece in pieces_of(cond, 0, [1, 2])]
    chunks.append(stream.finish())
    assert [len(chunk) for chunk in chunks] == [0, *made.durations[0].tolist()]


def test_word_synchronous_costs_no_more_later():
    """Steps of the network a unit, by count: no prefix is read again."""
    decoder = word_decoder(max_units_per_word=12)
    cond = words.select(words.make_batch()[0], 0, 4)
    piece = pieces_of(cond, 0, [])[0]
    streams = decoder.open_streams(cond.spk_emb, Sampling(seed=2))
    costs, run = [], decoder.transformer.forward
    with mock.patch.object(decoder.transformer, "forward", side_effect=run) as calls:
        for _ in range(12):
            calls.reset_mock()
            units = streams.push([piece])[0]
            assert all(call.args[0].size(1) == 1 for call in calls.call_args_list)
            costs.append(calls.call_count - len(units))
    assert max(costs) <= 3 + 8  # an ADVANCE a word, and a burst's waiting steps


def test_bad_pieces_leave_the_other_streams_alone():
    decoder = word_decoder()
    cond = words.make_batch()[0]
    whole = decoder.generate(cond, Sampling(seed=1), [1, 2, 3])
    streams = decoder.open_streams(cond.spk_emb, Sampling(seed=1), [1, 2, 3])
    good = [pieces_of(cond, i, [])[0] for i in range(3)]
    bad = Piece(good[1].ids, good[1].word_ids, good[1].audio * torch.nan)
    with pytest.raises(ValueError, match="TASTE vectors of stream 1.*no number"):
        streams.feed([good[0], bad, good[2]])
    bad.audio = good[0].audio
    with pytest.raises(ValueError, match="stream 1: 4 TASTE vectors for 1 tokens"):
        streams.feed([good[0], bad, good[2]])
    bad.audio = None
    with pytest.raises(ValueError, match="with and without TASTE vectors"):
        streams.feed([good[0], bad, good[2]])
    bad.word_ids = good[0].word_ids
    with pytest.raises(ValueError, match="stream 1: 1 tokens, but the words of 4"):
        streams.feed([good[0], bad, good[2]])
    for i, units in enumerate(streams.push(good, [True] * 3)):
        assert torch.equal(units, whole.units[i, : whole.lengths[i]])
