import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_taste.nn.fusion import WeightedSumFusion
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    Conditioning,
    Sampling,
)
from espnet2_taste.taste.speech_decoder.causal_transformer import CausalTransformer
from espnet2_taste.taste.speech_decoder.word_layout import noisy_inputs, word_layout
from espnet2_taste.taste.speech_decoder.word_synchronous import WordSynchronousDecoder
from espnet2_taste.text.view import TextView

UNITS = 20


def build(**conf):
    torch.manual_seed(0)
    conf = {"size": 16, "num_layers": 2, "num_heads": 2, "max_step": 4} | conf
    decoder = WordSynchronousDecoder(30, 6, UNITS, 5, WeightedSumFusion, **conf)
    return decoder.eval()


def make_batch(audio=True):
    """Three utterances of 3, 1 and 2 words; the first has a two-token word."""
    torch.manual_seed(1)
    word_ids = torch.tensor([[0, 1, 1, 2], [0, 0, 0, 0], [0, 1, 0, 0]])
    cond = Conditioning(
        text=TextView(torch.randint(0, 30, (3, 4)), torch.tensor([4, 1, 2]), word_ids),
        audio=None,
        spk_emb=torch.randn(3, 5),
    )
    if audio:
        words = torch.randn(3, 3, 6)
        cond.audio = words.gather(1, word_ids[..., None].expand(-1, -1, 6))
    durations = torch.tensor([[2, 3, 1], [4, -1, -1], [1, 6, -1]])
    return cond, torch.randint(0, UNITS, (3, 7)), torch.tensor([6, 4, 7]), durations


def select(cond, item, length):
    """One utterance without padding."""
    text, one = cond.text, slice(item, item + 1)
    audio = None if cond.audio is None else cond.audio[one, :length]
    text = TextView(
        text.ids[one, :length], text.lengths[one], text.word_ids[one, :length]
    )
    return Conditioning(text, audio, cond.spk_emb[one])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.integers(0, 5), min_size=1, max_size=6), min_size=1, max_size=4
    )
)
def test_layout_equals_the_obvious_loop(items):
    lengths = torch.tensor([sum(item) for item in items])
    units = torch.randint(0, UNITS, (len(items), int(lengths.max())))
    durations = torch.full((len(items), max(map(len, items))), -1)
    for row, item in zip(durations, items, strict=True):
        row[: len(item)] = torch.tensor(item)
    num_words = torch.tensor([len(item) for item in items])
    layout = word_layout(units, lengths, durations, num_words, UNITS)
    for index, item in enumerate(items):
        rest = units[index].tolist()
        targets, words, steps = [], [], []
        for word, duration in enumerate(item):
            targets += [rest.pop(0) for _ in range(duration)] + [UNITS]
            words += [word] * (duration + 1)
            steps += range(duration + 1)
        size = len(targets)
        assert layout.targets[index, :size].tolist() == targets
        assert layout.words[index, :size].tolist() == words
        assert layout.steps[index, :size].tolist() == steps
        assert layout.inputs[index, :size].tolist() == [UNITS + 1, *targets[:-1]]
        assert (layout.targets[index, size:] == -1).all()
        assert (layout.words[index] < len(item)).all()


def test_output_shapes_and_loss():
    decoder = build()
    cond, units, lengths, durations = make_batch()
    out = decoder(cond, units, lengths, durations)
    assert out.logits.shape == (3, 9, UNITS + 1)
    assert (out.targets != -1).sum(1).tolist() == [9, 5, 9]
    valid = out.targets != -1
    score = out.logits.log_softmax(-1)[valid].gather(1, out.targets[valid][:, None])
    entropy = -score.mean()
    decoder.duration_weight = 0.0
    without = decoder(cond, units, lengths, durations).loss
    torch.testing.assert_close(without, entropy)
    assert out.loss > without  # the duration predictor's error


@pytest.mark.parametrize("audio", [True, False])
def test_every_parameter_learns(audio):
    decoder = build().train()
    cond, units, lengths, durations = make_batch(audio)
    if audio:
        cond.audio.requires_grad_()
    decoder(cond, units, lengths, durations).loss.backward()
    idle = {n for n, p in decoder.named_parameters() if p.grad is None}
    assert idle == (set() if audio else {n for n in idle if n.startswith("fusion.")})
    if audio:
        assert (cond.audio.grad[0] != 0).any(-1).all()


def test_batch_equals_single_teacher_forced():
    decoder = build()
    cond, units, lengths, durations = make_batch()
    batch = decoder(cond, units, lengths, durations)
    for item, words in enumerate([3, 1, 2]):
        size = int(lengths[item])
        single = decoder(
            select(cond, item, int(cond.text.lengths[item])),
            units[item : item + 1, :size],
            lengths[item : item + 1],
            durations[item : item + 1, :words],
        )
        end = single.logits.size(1)
        torch.testing.assert_close(batch.logits[item, :end], single.logits[0])


@pytest.mark.parametrize(
    "conf",
    [
        {},
        {"guidance": 0.8},
        {"prosody_weight": 1.0},
        {"prosody_weight": 1.0, "guidance": 0.8},
    ],
)
@pytest.mark.parametrize("audio", [True, False])
@pytest.mark.parametrize("top_k", [1, 8])
def test_batch_equals_single_generation(top_k, audio, conf):
    decoder = build(max_units_per_word=7, **conf)
    cond = make_batch(audio)[0]
    sampling = Sampling(top_k=top_k, seed=3)
    batch = decoder.generate(cond, sampling, [4, 5, 6])
    assert batch.durations.sum(1).tolist() == batch.lengths.tolist()
    assert batch.units.max() < UNITS
    for item, words in enumerate([3, 1, 2]):
        single = select(cond, item, int(cond.text.lengths[item]))
        alone = decoder.generate(single, sampling, [4 + item])
        size = int(alone.lengths)
        assert torch.equal(batch.units[item, :size], alone.units[0])
        assert (batch.units[item, size:] == 0).all()
        assert torch.equal(batch.durations[item, :words], alone.durations[0])
        assert ((alone.durations >= 1) & (alone.durations <= 7)).all()


def fused_words(decoder, cond):
    return decoder._fused_words(cond, torch.tensor([3, 1, 2]))[1]


@pytest.mark.parametrize("guidance, told", [(0.0, 0.0), (2.0, 0.0), (2.0, 1.0)])
def test_cached_generation_equals_full_forward(guidance, told, monkeypatch):
    """Guided from text alone, or, where prosody is told, from what text foretells."""
    decoder = build(max_units_per_word=6, guidance=guidance, prosody_weight=told)
    torch.nn.init.zeros_(decoder.duration_predictor[2].weight)  # the same without TASTE
    if told:
        decoder.prosody_hint.proj.weight.data *= 50
    cond = make_batch()[0]
    made = decoder.generate(cond, Sampling(top_k=1))
    out = decoder(cond, made.units, made.lengths, made.durations)
    best = out.logits.clone()
    if guidance:
        plain = Conditioning(cond.text, None, cond.spk_emb)
        if told:
            hint, text = decoder.prosody_hint, fused_words(decoder, plain)
            monkeypatch.setattr(hint, "taught", lambda x, *_: (hint(x, text), 0.0))
            plain = cond
        plain = decoder(plain, made.units, made.lengths, made.durations).logits
        assert not torch.equal(plain.argmax(-1), best.argmax(-1))
        best += guidance * (best - plain)
    layout = word_layout(
        made.units, made.lengths, made.durations, torch.tensor([3, 1, 2]), UNITS
    )
    best[..., UNITS] = best[..., UNITS].masked_fill(layout.steps == 0, -torch.inf)
    best[..., :UNITS] = best[..., :UNITS].masked_fill(
        (layout.steps >= 6)[..., None], -torch.inf
    )
    valid = out.targets != -1
    assert torch.equal(best.argmax(-1)[valid], out.targets[valid])


def test_text_alone_costs_a_guided_decoder_no_second_row(monkeypatch):
    plain, guided, cond = build(), build(guidance=2.0), make_batch(audio=False)[0]
    seen = []
    step = guided.transformer.forward
    monkeypatch.setattr(
        guided.transformer, "forward", lambda x, c: seen.append(len(x)) or step(x, c)
    )
    said = guided.generate(cond, Sampling(seed=1))
    assert torch.equal(said.units, plain.generate(cond, Sampling(seed=1)).units)
    assert set(seen) == {3}


def test_units_are_drawn_at_the_temperature_of_the_decoder_unless_another_is_given():
    cond, own, plain = make_batch()[0], build(temperature=0.3), build()
    said = plain.generate(cond, Sampling(temperature=0.3, seed=1)).units
    assert not torch.equal(plain.generate(cond, Sampling(seed=1)).units, said)
    asked = Sampling(seed=1)
    ways = own.generate(cond, asked), own.generate_running(cond, asked, slots=2)
    assert all(torch.equal(way.units, said) for way in ways)
    streams = own.open_streams(cond.spk_emb, asked)
    assert streams.sampler.sampling == Sampling(temperature=0.3, seed=1)
    hot = own.generate(cond, Sampling(temperature=1.0, seed=1)).units
    assert torch.equal(hot, plain.generate(cond, Sampling(seed=1)).units)


def test_word_limits_hold():
    decoder = build(max_units_per_word=3)
    cond = make_batch()[0]
    with torch.no_grad():
        decoder.head.bias[UNITS] = 100.0
    assert decoder.generate(cond, Sampling(5, seed=0)).durations[0].tolist() == [1] * 3
    with torch.no_grad():
        decoder.head.bias[UNITS] = -100.0
    assert decoder.generate(cond, Sampling(5, seed=0)).durations[0].tolist() == [3] * 3


def test_text_without_words_gives_no_units():
    cond = make_batch()[0]
    cond.text.lengths = torch.zeros(3, dtype=torch.long)
    made = build().generate(cond, Sampling(5, seed=0))
    assert made.lengths.tolist() == [0, 0, 0]
    assert made.units.shape == (3, 0)


def test_later_words_do_not_reach_back():
    decoder = build()
    cond, units, lengths, durations = make_batch()
    cond.audio.requires_grad_()
    out = decoder(cond, units, lengths, durations)
    out.logits[0, 0].sum().backward()  # word 0 of item 0 (tokens: 0 | 1 1 | 2)
    moved = (cond.audio.grad != 0).any(-1)
    assert moved.tolist() == [[True, True, True, False], [False] * 4, [False] * 4]


@pytest.mark.parametrize("noise", ["unit_noise", "word_noise"])
def test_units_are_noisy_in_training_only(noise):
    decoder = build(**{"unit_noise": 0.0, noise: 0.9}, dropout=0.0, duration_noise=0.0)
    batch = make_batch()
    first, again = decoder(*batch).logits, decoder(*batch).logits
    assert torch.equal(first, again)
    noisy = decoder.train()(*batch).logits
    setattr(decoder, noise, 0.0)
    quiet, again = decoder(*batch).logits, decoder(*batch).logits
    assert torch.equal(quiet, again)
    assert not torch.equal(noisy, quiet)


def test_noise_replaces_units_alone_or_those_of_whole_words():
    _, units, lengths, durations = make_batch()
    many = 10**9  # a random unit is never the right one
    layout = word_layout(units, lengths, durations, torch.tensor([3, 1, 2]), many)
    is_unit = layout.inputs < many
    words = [is_unit & (layout.words == word) for word in range(3)]
    shares = []
    for _ in range(200):
        alone = noisy_inputs(layout, many, 0.5, 0.0) != layout.inputs
        together = noisy_inputs(layout, many, 0.0, 0.5) != layout.inputs
        assert not ((alone | together) & ~is_unit).any()  # ADVANCE and START
        shares.append([change[is_unit].float().mean() for change in (alone, together)])
        for word in words:
            changed = (together & word).sum(1)
            assert ((changed == 0) | (changed == word.sum(1))).all()
    assert torch.tensor(shares).mean(0).tolist() == pytest.approx([0.5, 0.5], abs=0.06)
    assert torch.equal(noisy_inputs(layout, many, 0.0, 0.0), layout.inputs)


def test_words_are_told_their_true_prosody_in_training():
    decoder = build(prosody_weight=1.0, prosody_noise=0.0, unit_noise=0.0, dropout=0.0)
    decoder.duration_noise = 0.0
    batch, prosody = make_batch(), torch.randn(3, 3, 3)
    predicted = decoder(*batch).logits
    torch.testing.assert_close(decoder(*batch, prosody).logits, predicted)
    decoder.train()
    told = decoder(*batch, prosody)
    prosody[1, 1:] = torch.nan  # item 1 has one word
    torch.testing.assert_close(decoder(*batch, prosody).logits, told.logits)
    assert not torch.allclose(told.logits, predicted, atol=1e-3)
    told.loss.backward()
    assert all(p.grad.any() for p in decoder.prosody_hint.parameters())
    with pytest.raises(ValueError, match="prosody_weight: .*add prosody.scp"):
        decoder(*batch)


def test_the_prosody_predictor_learns_what_the_vectors_say():
    decoder = build(prosody_weight=1.0, dropout=0.0, size=32).train()
    optimizer = torch.optim.Adam(decoder.parameters(), 5e-3)
    batch, prosody = make_batch(), 100 * torch.randn(3, 3, 3)
    for _ in range(60):
        optimizer.zero_grad()
        decoder(*batch, prosody).loss.backward()
        optimizer.step()
    num_words = torch.tensor([3, 1, 2])
    words = decoder._fused_words(batch[0], num_words)[1]
    _, error = decoder.eval().prosody_hint.taught(words, num_words, prosody)
    assert error < 0.3  # of values whose variance is 1


def test_audio_dropout_only_in_training():
    decoder = build(audio_dropout=0.5, dropout=0.0, unit_noise=0.0, duration_noise=0.0)
    cond, units, lengths, durations = make_batch()
    cond.audio.requires_grad_()
    seen = set()
    for training in (False, True):
        decoder.train(training)
        for _ in range(20):
            loss = decoder(cond, units, lengths, durations).loss
            (grad,) = torch.autograd.grad(loss, cond.audio)
            heard = tuple((grad != 0).flatten(1).any(1).tolist())
            assert training or heard == (True, True, True)
            seen.add(heard)
    assert len(seen) > 3


def test_learns_to_copy_words():
    """The TASTE vector decides units and durations: a few steps must show it."""
    decoder = build(dropout=0.0, unit_noise=0.0, size=32).train()
    optimizer = torch.optim.Adam(decoder.parameters(), 5e-3)
    batch = make_batch()
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = decoder(*batch).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_training_works_after_inference_mode():
    decoder = build()
    batch = make_batch()
    with torch.inference_mode():
        decoder.generate(batch[0], Sampling(top_k=1))
    decoder.train()(*batch).loss.backward()


def test_bad_input():
    decoder = build()
    cond, units, lengths, durations = make_batch()
    with pytest.raises(ValueError, match="needs durations"):
        decoder(cond, units, lengths)
    with pytest.raises(ValueError, match="item 1.*sum to 4.*units_lengths is 3"):
        decoder(cond, units, torch.tensor([6, 3, 7]), durations)
    with pytest.raises(ValueError, match="item 0.*durations"):
        decoder(cond, units, lengths, torch.tensor([[-2, 7, 1], [4, 0, 0], [1, 6, 0]]))
    with pytest.raises(ValueError, match="2 columns.*3 words"):
        decoder(cond, units, lengths, durations[:, :2])
    for share in ("unit_noise", "word_noise", "audio_dropout"):
        with pytest.raises(ValueError, match=share):
            build(**{share: 1.0})
    with pytest.raises(ValueError, match="heads"):
        build(size=18, num_heads=4)
    for name in ("max_units_per_word", "temperature"):
        with pytest.raises(ValueError, match=name):
            build(**{name: 0})


def test_cache_takes_one_position_at_a_time():
    model = CausalTransformer(8, 1, 2)
    x = torch.randn(1, 5, 8)
    cache = model.new_cache(1, x)
    first = model(x[:, :3], cache)
    later = [model(x[:, t : t + 1], cache) for t in (3, 4)]
    torch.testing.assert_close(torch.cat([first, *later], 1), model(x))
    with pytest.raises(ValueError, match="one position"):
        model(x[:, :2], cache)
