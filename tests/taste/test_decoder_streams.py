"""Speech decoders while words arrive: what streams give is what generate gives."""

import pytest
import torch
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
