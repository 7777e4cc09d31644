"""Who enters and leaves a running batch says what it says alone."""

import logging
from functools import partial

import pytest
import torch

from espnet2_taste.nn.fusion import WeightedSumFusion
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    Conditioning,
    Sampling,
)
from espnet2_taste.taste.speech_decoder.running import as_batch
from espnet2_taste.taste.speech_decoder.unit_transformer import UnitTransformerDecoder
from espnet2_taste.taste.speech_decoder.word_synchronous import WordSynchronousDecoder
from espnet2_taste.text.view import TextView

SIZES = {
    f"{part}_{name}": n
    for part in ("text", "audio", "llm")
    for name, n in (("blocks", 1), ("heads", 2), ("ffn_size", 16))
}
TRANSFORMER = SIZES | {"embed_size": 8, "encoder_size": 12, "llm_size": 16}
WORDS = {"size": 16, "num_layers": 2, "text_layers": 1, "num_heads": 2}
DECODERS = {
    "unit_transformer": partial(
        UnitTransformerDecoder, **TRANSFORMER, min_ratio=0.5, max_ratio=5.0
    ),
    "word_synchronous": partial(WordSynchronousDecoder, **WORDS, max_units_per_word=9),
    "guided": partial(
        WordSynchronousDecoder,
        **WORDS,
        max_units_per_word=9,
        guidance=0.7,
        prosody_weight=1.0,
    ),
}
SAMPLINGS = {
    "greedy": Sampling(top_k=1),
    "sampled": Sampling(top_k=6, temperature=1.5, seed=3),
    "ras": Sampling(top_k=6, seed=3, ras_window=4, ras_tau=0.25),
}


def build(kind):
    torch.manual_seed(0)
    decoder = DECODERS[kind](30, 6, 20, 5, WeightedSumFusion).eval()
    for name, parameter in decoder.named_parameters():
        if "embed" in name or name.startswith(("head", "llm_decoder")):
            torch.nn.init.normal_(parameter)  # else all say the same
    return decoder


def conditioning(lengths=(4, 1, 6, 2, 3, 5, 1)):
    torch.manual_seed(1)
    size, longest = len(lengths), max(lengths)
    ids = torch.randint(0, 30, (size, longest))
    words = torch.arange(longest).expand(size, -1)
    text = TextView(ids, torch.tensor(lengths), words)
    audio, speaker = torch.randn(size, longest, 6), torch.randn(size, 5)
    return Conditioning(text, audio, speaker)


def item(cond, row):
    n, one = int(cond.text.lengths[row]), slice(row, row + 1)
    text = TextView(
        cond.text.ids[one, :n], cond.text.lengths[one], cond.text.word_ids[one, :n]
    )
    return Conditioning(text, cond.audio[one, :n], cond.spk_emb[one])


def check(running, alone):
    for row, single in enumerate(alone):
        size = int(single.lengths)
        assert running.lengths[row] == size
        assert running.units[row, :size].equal(single.units[0])
        assert not running.units[row, size:].any()
        if single.durations is not None:
            words = single.durations.size(1)
            assert running.durations[row, :words].equal(single.durations[0])


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
@pytest.mark.parametrize("kind", DECODERS)
def test_a_running_batch_equals_single_runs(kind, sampling, caplog):
    decoder, cond, seeds = build(kind), conditioning(), [5, 6, 7, 8, 9, 9, 10]
    alone = [
        decoder.generate(item(cond, row), sampling, [seed])
        for row, seed in enumerate(seeds)
    ]
    assert len({tuple(made.units[0].tolist()) for made in alone}) > 3
    for slots in (1, 3, 20):
        check(decoder.generate_running(cond, sampling, seeds, slots), alone)
    with caplog.at_level(logging.INFO):  # what a CUDA graph would repeat
        check(decoder.generate_running(cond, sampling, seeds, 2, graph=True), alone)
    assert "no CUDA graph on cpu: steps run one by one" in caplog.text


@pytest.mark.parametrize("kind", DECODERS)
def test_requests_come_while_others_are_at_work(kind):
    decoder, cond, sampling = build(kind), conditioning(), SAMPLINGS["sampled"]
    running, found, most = decoder.running(sampling, 3), {}, 0
    order = [2, 0, 3, 1, 4, 6, 5]
    arrivals = {0: order[:1], 1: order[1:5], 6: order[5:]}  # the last ones: to nobody
    for time in range(40):
        for row in arrivals.get(time, []):
            running.add(item(cond, row), [row])
        found |= running.advance()
        most = max(most, len(running.tickets))
    assert not running.busy and most == 3 and sorted(found) == list(range(7))
    alone = [decoder.generate(item(cond, row), sampling, [row]) for row in order]
    check(as_batch([found[ticket] for ticket in range(7)]), alone)


@pytest.mark.parametrize("kind", DECODERS)
def test_who_is_dropped_leaves_the_others_as_they_are(kind):
    decoder, cond, sampling = build(kind), conditioning(), SAMPLINGS["sampled"]
    running, seeds = decoder.running(sampling, 2), list(range(7))
    running.add(cond, seeds)
    found = dict(running.advance())
    (working,) = [ticket for ticket in running.tickets if ticket is not None][:1]
    for ticket in (working, 5, 99):  # at work, waiting, nobody's
        running.drop(ticket)
    found |= running.run()
    assert sorted(found) == [row for row in range(7) if row not in (working, 5)]
    alone = [
        decoder.generate(item(cond, row), sampling, [row]) for row in sorted(found)
    ]
    check(as_batch([found[row] for row in sorted(found)]), alone)
    (ticket,) = running.add(item(cond, 2), [2])  # and none is at work
    running.advance()
    running.drop(ticket)
    assert not running.busy and running.advance() == []


def test_what_cannot_run():
    decoder, cond = build("unit_transformer"), conditioning()
    running = decoder.running(SAMPLINGS["greedy"], 2, capacity=40)
    with pytest.raises(ValueError, match="takes up to 54 positions, the running batch"):
        running.add(cond)
    assert not running.busy
    with pytest.raises(ValueError, match="slots 0: expected 1 or more"):
        decoder.running(SAMPLINGS["greedy"], 0)
