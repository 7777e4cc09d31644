import math

import pytest
import torch
from test_word_synchronous import make_batch, select

from espnet2_taste.nn.fusion import WeightedSumFusion
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling
from espnet2_taste.taste.speech_decoder.masked_parallel import MaskedParallelDecoder
from espnet2_taste.taste.speech_decoder.token_spans import owners

UNITS = 20
GREEDY = Sampling(top_k=1)


def build(sharp=True, **conf):
    torch.manual_seed(0)
    conf = {"size": 16, "num_layers": 2, "text_layers": 1, "num_heads": 2} | conf
    decoder = MaskedParallelDecoder(30, 6, UNITS, 5, WeightedSumFusion, **conf)
    if sharp:  # than at the start: confidences differ, and what is around counts
        with torch.no_grad():
            decoder.head.weight.mul_(20)
            for weight in decoder.transformer.parameters():
                weight.mul_(3 if weight.dim() == 2 else 1)
    return decoder.eval()


def predict_spans(decoder, units_per_token):
    """Have the duration predictor say so for every token."""
    last = decoder.duration_predictor[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(math.log(units_per_token))


@pytest.mark.parametrize("with_durations", [True, False])
def test_loss_by_hand(with_durations):
    """Every second unit is masked; ln durations of words, or of utterances."""
    decoder = build()
    predict_spans(decoder, 2.0)
    cond, units, lengths, durations = make_batch()
    given = durations if with_durations else None
    out = decoder(cond, units, lengths, given)
    assert out.logits.shape == (3, 7, UNITS)
    scores = out.logits.log_softmax(-1)
    masked = [(b, u) for b, n in enumerate([6, 4, 7]) for u in range(0, n, 2)]
    expected = -sum(scores[b, u, units[b, u]] for b, u in masked) / len(masked)
    # 4, 1 and 2 tokens of 2 units; the first utterance's second word has two tokens
    if with_durations:
        pairs = [(2, 2), (4, 3), (2, 1), (2, 4), (2, 1), (2, 6)]
    else:
        pairs = [(8, 6), (2, 4), (4, 7)]
    error = sum((math.log(m) - math.log(t)) ** 2 for m, t in pairs) / len(pairs)
    torch.testing.assert_close(out.loss, expected + 0.2 * error)
    assert [(b, u) for b, u in (out.targets != -1).nonzero().tolist()] == masked


@pytest.mark.parametrize("audio", [True, False])
def test_every_parameter_learns(audio):
    decoder = build(audio_dropout=0.2).train()
    cond, units, lengths, durations = make_batch(audio)
    decoder(cond, units, lengths, durations).loss.backward()
    idle = {n for n, p in decoder.named_parameters() if p.grad is None}
    assert idle == (set() if audio else {n for n in idle if n.startswith("fusion.")})


@pytest.mark.parametrize(
    "conf", [{"guidance": 0.5}, {"guidance": 0.5, "prosody_weight": 1.0}]
)
def test_batch_equals_single(conf):
    decoder = build(num_steps=3, **conf)
    cond, units, lengths, durations = make_batch()
    batch = decoder(cond, units, lengths, durations)
    for sampling in (GREEDY, Sampling(top_k=5, seed=1)):
        together = decoder.generate(cond, sampling, item_seeds=[3, 4, 5])
        for item, words in enumerate([3, 1, 2]):
            one, size = slice(item, item + 1), int(lengths[item])
            alone = select(cond, item, int(cond.text.lengths[item]))
            single = decoder(
                alone, units[one, :size], lengths[one], durations[one, :words]
            )
            torch.testing.assert_close(
                batch.logits[one, :size], single.logits, atol=1e-4, rtol=1e-4
            )
            said = decoder.generate(alone, sampling, item_seeds=[3 + item])
            num = int(said.lengths)
            assert together.lengths[item] == num
            assert together.units[item, :num].tolist() == said.units[0].tolist()
            assert (
                together.durations[item, :words].tolist() == said.durations[0].tolist()
            )


def unmask_one_by_one(decoder, cond, length):
    """The obvious loop: always the unit that the model is surest of."""
    fused = decoder._fuse(cond)
    spans = decoder._log_spans(fused).exp()
    spans = spans / spans.sum() * length
    canvas = decoder._canvas(fused, spans, cond, torch.tensor([length]), length)
    units = torch.full((1, length), UNITS)
    for _ in range(length):
        logits = decoder._logits(units, canvas)
        sure, best = logits.softmax(-1).max(-1)
        place = sure.masked_fill(units != UNITS, -1).argmax()
        units[0, place] = best[0, place]
    return units[0].tolist()


@torch.no_grad()
def test_as_many_steps_as_units_is_one_unit_a_step():
    decoder = build(num_steps=9)
    cond = select(make_batch()[0], 0, 4)
    said = decoder.generate(cond, GREEDY, lengths=torch.tensor([9]))
    assert said.units[0].tolist() == unmask_one_by_one(decoder, cond, 9)
    decoder.num_steps = 40  # steps with nothing to do
    again = decoder.generate(cond, GREEDY, lengths=torch.tensor([9]))
    assert again.units.tolist() == said.units.tolist()


@torch.no_grad()
def test_one_step_and_top_p():
    """One step takes all units at once, and so does the whole mass; less takes more
    steps, but never more than K."""
    decoder = build(num_steps=1)
    cond = select(make_batch()[0], 0, 4)
    lengths = torch.tensor([12])
    once = decoder.generate(cond, GREEDY, lengths=lengths).units
    passes = []
    decoder.transformer.register_forward_hook(lambda *_: passes.append(1))
    decoder.num_steps, decoder.confidence, decoder.top_p = 4, "top_p", 1.0
    assert decoder.generate(cond, GREEDY, lengths=lengths).units.equal(once)
    assert len(passes) == 4  # a fixed number: nothing waits for the device
    decoder.top_p = 1e-6
    some = decoder.generate(cond, GREEDY, lengths=lengths).units
    assert (some < UNITS).all() and not some.equal(once)


def test_lengths_are_the_predicted_ones():
    decoder = build()
    predict_spans(decoder, 3.0)
    cond = make_batch()[0]
    said = decoder.generate(cond, Sampling(seed=0))
    assert said.lengths.tolist() == [12, 3, 6]
    assert said.durations.tolist() == [[3, 6, 3], [3, 0, 0], [3, 3, 0]]
    assert (said.units[1, 3:] == 0).all() and (said.units < UNITS).all()
    decoder.max_units_per_token = 2
    assert decoder.generate(cond, GREEDY).lengths.tolist() == [8, 2, 4]


def test_no_text_is_no_units():
    decoder = build()
    cond = make_batch()[0]
    cond.text.lengths = torch.tensor([4, 0, 2])
    said = decoder.generate(cond, GREEDY)
    assert said.lengths[1] == 0 and (said.lengths[[0, 2]] > 0).all()
    loss = decoder(cond, torch.zeros(3, 5).long(), torch.tensor([5, 0, 3])).loss
    assert loss.isfinite()


def test_units_lie_in_the_stretch_of_a_token():
    """Tokens of 1.5, no and 2 units; then one of 3, and a unit after its end."""
    spans = torch.tensor([[1.5, 0.0, 2.0], [3.0, 0.0, 0.0]])
    own = owners(spans, torch.tensor([3, 1]), 4)
    assert own.tolist() == [[0, 2, 2, 2], [0, 0, 0, 0]]


def test_tokens_are_told_their_words_true_prosody_in_training():
    decoder = build(prosody_weight=1.0, prosody_noise=0.0, duration_weight=0.0)
    cond, units, lengths, durations = make_batch()
    prosody = torch.randn(3, 3, 3)
    predicted = decoder(cond, units, lengths, durations)
    told = decoder(cond, units, lengths, durations, prosody)
    torch.testing.assert_close(told.logits, predicted.logits)  # in evaluation
    assert told.loss > predicted.loss  # the predictor's error
    decoder.train()
    torch.manual_seed(1)
    told = decoder(cond, units, lengths, durations, prosody)
    prosody[1, 1:] = torch.nan  # item 1 has one word
    torch.manual_seed(1)
    torch.testing.assert_close(
        decoder(cond, units, lengths, durations, prosody).logits, told.logits
    )
    prosody[0, 0] += 3
    torch.manual_seed(1)
    other = decoder(cond, units, lengths, durations, prosody)
    assert not torch.allclose(other.logits[0], told.logits[0])
    other.loss.backward()
    assert all(p.grad.any() for p in decoder.prosody_hint.parameters())
    with pytest.raises(ValueError, match="prosody_weight: .*add prosody.scp"):
        decoder(cond, units, lengths, durations)


def test_the_temperature_is_the_decoder_s_own():
    cond = make_batch()[0]
    decoder = build(temperature=50.0, num_steps=2)
    own = decoder.generate(cond, Sampling(seed=0))
    said = decoder.generate(cond, Sampling(seed=0, temperature=50.0))
    assert own.units.equal(said.units)
    decoder.sampling_defaults = {}
    assert not decoder.generate(cond, Sampling(seed=0)).units.equal(said.units)


def test_it_learns_two_utterances():
    decoder = build(sharp=False, size=32, duration_weight=2.0)
    cond, units, lengths, durations = make_batch()
    optim = torch.optim.Adam(decoder.parameters(), lr=5e-3)
    decoder.train()
    for _ in range(300):
        optim.zero_grad()
        decoder(cond, units, lengths, durations).loss.backward()
        optim.step()
    said = decoder.eval().generate(cond, GREEDY)
    assert said.lengths.tolist() == lengths.tolist()
    for item, size in enumerate(lengths.tolist()):
        assert said.units[item, :size].tolist() == units[item, :size].tolist()


@pytest.mark.parametrize(
    "conf",
    [{"num_steps": 0}, {"confidence": "x"}, {"top_p": 0}, {"audio_dropout": 1}]
    + [{"temperature": 0}],
)
def test_bad_options(conf):
    with pytest.raises(ValueError, match=next(iter(conf))):
        build(**conf)
