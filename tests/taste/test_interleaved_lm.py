"""The decoder whose LM reads text and units in one sequence."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_taste.nn.fusion import WeightedSumFusion
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    Conditioning,
    Sampling,
)
from espnet2_taste.taste.speech_decoder.interleaved_layout import (
    SOS,
    TASK,
    TEXT,
    UNIT,
    fits_blocks,
    interleaved_layout,
)
from espnet2_taste.taste.speech_decoder.interleaved_lm import InterleavedLMDecoder
from espnet2_taste.taste.speech_decoder.streams import Piece, SpokenPrompt
from espnet2_taste.text.view import TextView

UNITS, VOCAB, AUDIO = 20, 30, 6
TINY = {
    "model_type": "qwen2",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "initializer_range": 0.3,
}
GREEDY = Sampling(top_k=1)


def build(lm_conf=None, **conf):
    torch.manual_seed(0)
    conf = {"mix_ratio": [2, 5], "max_ratio": 6.0} | conf
    lm_conf = {"config": TINY} if lm_conf is None else lm_conf
    return InterleavedLMDecoder(
        VOCAB, AUDIO, UNITS, 5, WeightedSumFusion, lm_conf, **conf
    ).eval()


def make_batch(audio=True, lengths=(7, 1, 4), units_lengths=(30, 4, 12)):
    generator = torch.Generator().manual_seed(1)
    size, longest = len(lengths), max(lengths)
    text = torch.randint(VOCAB, (size, longest), generator=generator)
    words = torch.arange(longest).expand(size, -1)
    vectors = torch.randn(size, longest, AUDIO, generator=generator)
    cond = Conditioning(
        TextView(text, torch.tensor(lengths), words),
        vectors if audio else None,
        torch.zeros(size, 5),
    )
    units = torch.randint(UNITS, (size, max(units_lengths)), generator=generator)
    return cond, units, torch.tensor(units_lengths)


def alone(cond, item):
    one, n = slice(item, item + 1), int(cond.text.lengths[item])
    text = cond.text
    text = TextView(text.ids[one, :n], text.lengths[one], text.word_ids[one, :n])
    audio = None if cond.audio is None else cond.audio[one, :n]
    return Conditioning(text, audio, cond.spk_emb[one])


def piece(cond, item, start=0, end=None):
    one = alone(cond, item)
    ids = one.text.ids[0, start:end]
    audio = None if one.audio is None else one.audio[0, start:end]
    return Piece(ids, torch.arange(len(ids)), audio)


def by_hand(num_text, units, blocks, mix):
    """(kind, index) of each position and its target, item by item."""
    per_text, per_unit = mix
    inputs, targets, u = [(SOS, 0)], [-1], 0
    texts = [(TEXT, t) for t in range(num_text)]
    while blocks and len(texts) >= per_text:
        now, texts = texts[:per_text], texts[per_text:]
        said = units[u : u + per_unit]
        inputs += now + [(UNIT, u + k) for k in range(per_unit)]
        targets += [-1] * (per_text - 1) + said + [UNITS + 2]
        u += per_unit
    rest = [(UNIT, k) for k in range(u, len(units))]
    inputs += [*texts, (TASK, 0), *rest]
    targets += [-1] * len(texts) + units[u:] + [UNITS]
    return inputs, targets


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 30), st.booleans()),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([(2, 5), (5, 15), (1, 1), (3, 2)]),
)
def test_layout_is_that_of_each_item_by_hand(items, mix):
    texts, lengths, wants = (
        torch.tensor(column) for column in zip(*items, strict=True)
    )
    units = torch.randint(UNITS, (len(items), max(int(lengths.max()), 1)))
    blocks = wants & fits_blocks(texts, lengths, mix)
    layout = interleaved_layout(texts, units, lengths, blocks, mix, UNITS)
    for i, (num_text, num_units, _) in enumerate(items):
        said = units[i, :num_units].tolist()
        inputs, targets = by_hand(num_text, said, blocks[i], mix)
        size = len(inputs)
        assert layout.lengths[i] == size
        pairs = zip(layout.kinds[i].tolist(), layout.index[i].tolist(), strict=True)
        assert list(pairs)[:size] == inputs
        assert layout.targets[i, :size].tolist() == targets
        assert (layout.kinds[i, size:] == -1).all()
        assert (layout.targets[i, size:] == -1).all()


def test_the_published_example():
    """N:M = 2:5, three tokens, twelve units."""
    units = torch.arange(12)[None]
    args = torch.tensor([3]), units, torch.tensor([12]), torch.tensor([True])
    layout = interleaved_layout(*args, (2, 5), UNITS)
    end, fill, none = UNITS, UNITS + 2, -1
    assert layout.targets[0].tolist() == [
        *(none, none, 0, 1, 2, 3, 4, fill, none),
        *(5, 6, 7, 8, 9, 10, 11, end),
    ]


@pytest.mark.parametrize("prob", [0.5, 1.0])
def test_batch_equals_single_teacher_forced(prob):
    decoder = build(bistream_prob=prob, label_smoothing=0.1)
    cond, units, lengths = make_batch()
    units[torch.arange(units.size(1)) >= lengths[:, None]] = -1  # any padding
    batch, total = decoder(cond, units, lengths), 0.0
    for item, size in enumerate(lengths.tolist()):
        one = slice(item, item + 1)
        single = decoder(alone(cond, item), units[one, :size], lengths[one])
        n = single.logits.size(1)
        torch.testing.assert_close(batch.logits[item, :n], single.logits[0])
        assert torch.equal(batch.targets[item, :n], single.targets[0])
        total += single.loss * (single.targets >= 0).sum()
    torch.testing.assert_close(batch.loss, total / (batch.targets >= 0).sum())
    assert bool((batch.targets == UNITS + 2).any()) == (prob == 1.0)


@pytest.mark.parametrize("in_blocks", [False, True])
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(seed=3), Sampling(6, 1.5, 3)])
def test_batch_equals_single_generation(sampling, in_blocks):
    decoder = build()
    cond = make_batch()[0]
    batch = decoder.generate(cond, sampling, [4, 5, 6], in_blocks=in_blocks)
    for item in range(3):
        made = decoder.generate(
            alone(cond, item), sampling, [4 + item], in_blocks=in_blocks
        )
        size = int(made.lengths)
        assert size == batch.lengths[item]
        assert torch.equal(batch.units[item, :size], made.units[0])
        assert (batch.units[item, size:] == 0).all()


@pytest.mark.parametrize("in_blocks", [False, True])
def test_generation_reads_what_training_reads(in_blocks):
    """The greedy units are the best ones of a teacher-forced pass over them."""
    decoder = build(max_ratio=5.0)
    with torch.no_grad():
        decoder.llm_decoder.bias[UNITS] = -100.0  # to the limit
    cond = make_batch()[0]
    made = decoder.generate(cond, GREEDY, in_blocks=in_blocks)
    assert made.lengths.tolist() == [35, 5, 20]
    blocks = torch.full((3,), in_blocks) & fits_blocks(
        cond.text.lengths, made.lengths, (2, 5)
    )
    out = decoder.teacher_forced(cond, made.units, made.lengths, blocks)
    counted = (out.targets >= 0) & (out.targets < UNITS)
    best = out.logits[..., :UNITS].argmax(-1)
    assert torch.equal(best[counted], out.targets[counted])


ROUND = st.tuples(*[st.integers(0, 3)] * 3, st.booleans(), st.integers(0, 3))


@settings(max_examples=10, deadline=None)
@given(st.lists(ROUND, max_size=6), st.booleans(), st.booleans())
def test_streamed_equals_offline(rounds, audio, greedy):
    """Whatever the borders of pieces, the portions, and what other streams do."""
    decoder, sampling = build(), GREEDY if greedy else Sampling(seed=2)
    cond = make_batch(audio)[0]
    lengths = cond.text.lengths.tolist()
    offline = decoder.generate(cond, sampling, [7, 8, 9], in_blocks=True)
    streams = decoder.open_streams(cond.spk_emb, sampling, [7, 8, 9])
    at, made = [0, 0, 0], [[], [], []]
    for *sizes, known, pulls in rounds:  # known: that nothing follows a whole text
        ends = [min(a + n, size) for a, n, size in zip(at, sizes, lengths, strict=True)]
        pieces = [piece(cond, i, at[i], ends[i]) for i in range(3)]
        streams.feed(pieces, [known and ends[i] == lengths[i] for i in range(3)])
        at = ends
        for _ in range(pulls):
            for got, units in zip(made, streams.pull(most=3), strict=True):
                got.append(units)
    streams.feed([piece(cond, i, at[i]) for i in range(3)])
    for got, units in zip(made, streams.finish(), strict=True):
        got.append(units)
    for item, size in enumerate(offline.lengths.tolist()):
        assert torch.equal(torch.cat(made[item]), offline.units[item, :size])


def test_units_come_while_text_comes():
    """M after every N tokens, none before; the rest after the last one."""
    decoder, cond = build(), make_batch()[0]
    with torch.no_grad():
        decoder.llm_decoder.bias[UNITS] = 100.0  # ends as soon as it may
    stream = decoder.open_stream(cond.spk_emb[0], Sampling(seed=0))
    sizes = [len(stream.push(piece(cond, 0, k, k + 1))) for k in range(7)]
    assert sizes == [0, 5, 0, 5, 0, 5, 0]
    assert len(stream.finish()) == 0
    whole = build(bistream_prob=0.0).open_stream(cond.spk_emb[0], Sampling(seed=0))
    assert not any(len(whole.push(piece(cond, 0, k, k + 1))) for k in range(7))
    assert 14 <= len(whole.finish()) <= 42  # min_ratio, max_ratio


@pytest.mark.parametrize("in_blocks", [False, True])
@pytest.mark.parametrize("num_prompt", [0, 3, 5, 10, 23])
def test_prompt_units_are_never_dropped(num_prompt, in_blocks):
    """What is said goes on: every unit of the prompt was read, in the layout of
    training, also those that the blocks of its text do not hold."""
    decoder = build(max_ratio=9.0)
    with torch.no_grad():
        decoder.llm_decoder.bias[UNITS] = -100.0
    cond = make_batch(lengths=(7,))[0]
    said = torch.arange(num_prompt) % UNITS
    prompt = SpokenPrompt(piece(cond, 0, 0, 4), said)
    one = piece(cond, 0, 4)
    rest = Conditioning(
        TextView(one.ids[None], torch.tensor([3]), one.word_ids[None]),
        one.audio[None],
        cond.spk_emb,
    )
    made = decoder.generate(rest, GREEDY, prompts=[prompt], in_blocks=in_blocks)
    units = torch.cat([said, made.units[0]])[None]
    lengths = torch.tensor([units.size(1)])
    assert made.lengths.tolist() == [27]
    blocks = torch.tensor([in_blocks])
    out = decoder.teacher_forced(cond, units, lengths, blocks)
    counted = (out.targets >= 0) & (out.targets < UNITS)
    best = out.logits[..., :UNITS].argmax(-1)[counted][num_prompt:]
    assert torch.equal(best, made.units[0])


@pytest.mark.parametrize("unit", [-1, UNITS, UNITS + 2])
def test_prompt_units_that_are_none(unit):
    decoder, cond = build(), make_batch()[0]
    prompt = SpokenPrompt(piece(cond, 0), torch.tensor([3, unit]))
    with pytest.raises(ValueError, match=r"prompt units .* the decoder's are 0 to 19"):
        decoder.open_streams(cond.spk_emb[:1], GREEDY, prompts=[prompt])
    with pytest.raises(ValueError, match="1 prompts for 3 streams"):
        decoder.open_streams(cond.spk_emb, GREEDY, prompts=[prompt])


def test_a_piece_that_does_not_fit_stops_no_stream():
    decoder, cond = build(), make_batch()[0]
    offline = decoder.generate(cond, GREEDY, in_blocks=True)
    streams = decoder.open_streams(cond.spk_emb, GREEDY)
    good = [piece(cond, item) for item in range(3)]
    ids, words, audio = good[1].ids, good[1].word_ids, good[1].audio
    for wrong, message in (
        (Piece(ids + VOCAB, words, audio), "text ids from .* are 0 to 29"),
        (Piece(ids, words, audio[:, :3]), r"TASTE vectors \(1, 3\) of 1 tokens"),
        (Piece(ids, words, audio[:0]), "0 TASTE vectors for 1 tokens"),
        (Piece(ids, words, audio * torch.nan), "TASTE vectors of stream 1"),
    ):
        with pytest.raises(ValueError, match=message):
            streams.feed([good[0], wrong, good[2]])
    made = streams.push(good, [True] * 3)
    for item, size in enumerate(offline.lengths.tolist()):
        assert torch.equal(made[item], offline.units[item, :size])


def test_without_text_nothing_is_said():
    decoder, cond = build(), make_batch(lengths=(0, 3))[0]
    for in_blocks in (False, True):
        made = decoder.generate(cond, GREEDY, in_blocks=in_blocks)
        assert made.lengths[0] == 0 < made.lengths[1]
    streams = decoder.open_streams(cond.spk_emb, GREEDY)
    empty = piece(cond, 0)
    assert [len(units) for units in streams.push([empty, None])] == [0, 0]
    assert [len(units) for units in streams.finish()] == [0, 0]


def test_only_banned_ids_are_likely():
    """The end in a block, fill and the unused id anywhere: never said, no endless
    loop."""
    decoder, cond = build(), make_batch()[0]
    with torch.no_grad():
        decoder.llm_decoder.bias[UNITS:] = 1e4
        decoder.llm_decoder.bias[UNITS] = 9e3
    for sampling in (GREEDY, Sampling(seed=1)):
        made = decoder.generate(cond, sampling, in_blocks=True)
        assert made.lengths.tolist() == [15, 0, 10]  # whole blocks, then the end
        made = decoder.generate(cond, sampling, in_blocks=False)
        assert made.lengths.tolist() == [14, 2, 8]  # min_ratio
        assert made.units.max() < UNITS


@pytest.mark.parametrize("unused", ["lora", "untied", "own_text_table", "plain"])
def test_all_that_is_trained_has_gradients(unused):
    config = TINY | {"tie_word_embeddings": unused != "untied"}
    lm_conf = {"config": config}
    if unused == "lora":
        pytest.importorskip("peft")
        lm_conf["lora"] = {"r": 2}
    decoder = build(lm_conf, own_text_table=unused == "own_text_table").train()
    decoder(*make_batch()).loss.backward()
    trained = [(k, p) for k, p in decoder.named_parameters() if p.requires_grad]
    assert not [name for name, p in trained if p.grad is None]
    of_lm = [name for name, _ in trained if name.startswith("llm.")]
    assert all("lora_" in name for name in of_lm) == (unused == "lora")
    with torch.no_grad():
        assert decoder.eval().generate(make_batch()[0], GREEDY).lengths.min() > 0


def test_layouts_are_drawn_in_training():
    decoder, batch = build(bistream_prob=0.5).train(), make_batch()
    filled = [bool((decoder(*batch).targets == UNITS + 2).any()) for _ in range(20)]
    assert 0 < sum(filled) < 20


@pytest.mark.parametrize(
    "conf, message",
    [
        ({"mix_ratio": [0, 5]}, "mix_ratio"),
        ({"mix_ratio": [5]}, "mix_ratio"),
        ({"bistream_prob": 1.5}, "bistream_prob 1.5"),
        ({"label_smoothing": 1.0}, "label_smoothing 1.0"),
        ({"max_ratio": 1.0}, "max_ratio 1.0 is less than"),
        ({"max_ratio": 2.4}, "5 / 2 units a token"),
        ({"lm_conf": {}}, "needs either `model` or `config`"),
        ({"lm_conf": {"config": TINY | {"vocab_size": 9}}}, "30 tokens, the LM"),
    ],
)
def test_bad_options(conf, message):
    with pytest.raises(ValueError, match=message):
        build(**{"lm_conf": {"config": TINY}, **conf})
