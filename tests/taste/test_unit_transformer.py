import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_taste.nn.fusion import ConcatFusion, WeightedSumFusion
from espnet2_taste.nn.rel_pos_attention import RelPosAttention, RelPositionTable
from espnet2_taste.nn.rel_pos_encoder import FeedForward, RelPosEncoder
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    Conditioning,
    Sampling,
)
from espnet2_taste.taste.speech_decoder.unit_transformer import (
    UnitTransformerDecoder,
)
from espnet2_taste.text.view import TextView

UNITS = 20
TINY = {
    "embed_size": 8,
    "encoder_size": 12,
    "text_blocks": 1,
    "text_heads": 2,
    "text_ffn_size": 16,
    "audio_blocks": 1,
    "audio_heads": 2,
    "audio_ffn_size": 16,
    "llm_size": 16,
    "llm_blocks": 2,
    "llm_heads": 2,
    "llm_ffn_size": 24,
}


def build(fusion=WeightedSumFusion, **conf):
    torch.manual_seed(0)
    decoder = UnitTransformerDecoder(30, 6, UNITS, 5, fusion, **(TINY | conf))
    return decoder.eval()


def make_batch(audio=True, lengths=(4, 1, 2), units_lengths=(6, 7, 3)):
    torch.manual_seed(1)
    size, longest = len(lengths), max(lengths)
    cond = Conditioning(
        text=TextView(
            torch.randint(0, 30, (size, longest)),
            torch.tensor(lengths),
            torch.arange(longest).expand(size, -1),
        ),
        audio=torch.randn(size, longest, 6) if audio else None,
        spk_emb=torch.randn(size, 5),
    )
    units = torch.randint(0, UNITS, (size, max(units_lengths)))
    return cond, units, torch.tensor(units_lengths)


def select(cond, item):
    text, one = cond.text, slice(item, item + 1)
    length = int(text.lengths[item])
    audio = None if cond.audio is None else cond.audio[one, :length]
    text = TextView(
        text.ids[one, :length], text.lengths[one], text.word_ids[one, :length]
    )
    return Conditioning(text, audio, cond.spk_emb[one])


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(0, 6)), min_size=1, max_size=4
    ).filter(lambda items: any(units for _, units in items))
)
def test_batch_equals_single_teacher_forced(items):
    decoder = build()
    cond, units, lengths = make_batch(True, *zip(*items, strict=True))
    units[torch.arange(units.size(1)) >= lengths[:, None]] = -1  # any padding
    batch = decoder(cond, units, lengths)
    assert batch.logits.shape == (len(items), units.size(1) + 1, UNITS + 1)
    scores = []
    for item, (_, size) in enumerate(items):
        single = decoder(
            select(cond, item), units[item : item + 1, :size], lengths[item : item + 1]
        )
        torch.testing.assert_close(batch.logits[item, : size + 1], single.logits[0])
        assert single.targets[0].tolist() == units[item, :size].tolist() + [UNITS]
        assert torch.equal(batch.targets[item, : size + 1], single.targets[0])
        assert (batch.targets[item, size + 1 :] == -1).all()
        scores.append(single.loss * (size + 1))
    torch.testing.assert_close(batch.loss, sum(scores) / (batch.targets != -1).sum())


@pytest.mark.parametrize("audio", [True, False])
@pytest.mark.parametrize("top_k", [1, 6])
def test_batch_equals_single_generation(top_k, audio):
    decoder = build(min_ratio=0.5, max_ratio=6.0)
    cond = make_batch(audio)[0]
    sampling = Sampling(top_k=top_k, temperature=1.5, seed=3)
    batch = decoder.generate(cond, sampling, [4, 5, 6])
    for item in range(3):
        alone = decoder.generate(select(cond, item), sampling, [4 + item])
        size = int(alone.lengths)
        assert size == batch.lengths[item]
        assert torch.equal(batch.units[item, :size], alone.units[0])
        assert (batch.units[item, size:] == 0).all()


def test_cached_generation_equals_full_forward():
    decoder = build(max_ratio=50.0)  # 350 steps: caches grow
    with torch.no_grad():
        decoder.llm_decoder.bias[UNITS] = -100.0
    cond = make_batch()[0]
    made = decoder.generate(cond, Sampling(top_k=1))
    assert made.lengths.tolist() == [350, 200, 250]
    out = decoder(cond, made.units, made.lengths)
    best = out.logits[..., :UNITS].argmax(-1)
    for item, size in enumerate(made.lengths.tolist()):
        assert torch.equal(best[item, :size], made.units[item, :size])


@pytest.mark.parametrize(
    "bias, ratios, lengths",
    [
        (100.0, {"min_ratio": 2.5}, [17, 10, 12]),
        (-100.0, {"max_ratio": 3.5, "min_ratio": 0.0}, [24, 14, 17]),
        (100.0, {"min_ratio": 0.0}, [0, 0, 0]),
        (0.0, {"min_ratio": 0.0, "max_ratio": 0.0}, [0, 0, 0]),
    ],
)
def test_length_limits(bias, ratios, lengths):
    decoder = build(**ratios)
    with torch.no_grad():
        decoder.llm_decoder.bias[UNITS] = bias
    made = decoder.generate(make_batch()[0], Sampling(5, seed=0))
    assert made.lengths.tolist() == lengths
    assert made.units.shape == (3, max(lengths))


@pytest.mark.parametrize("fusion", [WeightedSumFusion, ConcatFusion])
def test_every_parameter_learns(fusion):
    decoder = build(fusion).train()
    cond, units, lengths = make_batch()
    cond.audio.requires_grad_()
    decoder(cond, units, lengths).loss.backward()
    assert all(p.grad is not None for p in decoder.parameters())
    assert (cond.audio.grad[0] != 0).any(-1).all()
    assert (cond.audio.grad[1, 1:] == 0).all()


def test_text_only_leaves_the_audio_side_alone():
    decoder = build().train()
    decoder(*make_batch(audio=False)).loss.backward()
    idle = {n.split(".")[0] for n, p in decoder.named_parameters() if p.grad is None}
    assert idle == {
        "audio_embed_affine_layer",
        "audio_token_encoder",
        "audio_token_encoder_affine_layer",
        "fusion",
    }


@pytest.mark.parametrize("kind", ["conformer", "transformer"])
def test_encoder_is_causal_and_its_cache_exact(kind):
    torch.manual_seed(0)
    encoder = RelPosEncoder(6, 8, 2, 16, 2, 0.0, kind).eval()
    x = torch.randn(2, 7, 6)
    full = encoder(x)
    changed = x.clone()
    changed[:, 4:] = 0
    torch.testing.assert_close(encoder(changed)[:, :4], full[:, :4])
    padded = torch.cat([torch.randn(2, 3, 6), x], 1)  # left padding must not matter
    padded[0] = torch.cat([x[0], torch.zeros(3, 6)])
    cache = encoder.new_cache(10, torch.tensor([0, 3]), x)
    parts = [encoder(padded[:, :6], cache)]
    parts += [encoder(padded[:, t : t + 1], cache) for t in range(6, 10)]
    out = torch.cat(parts, 1)
    torch.testing.assert_close(out[0, :7], full[0])
    torch.testing.assert_close(out[1, 3:], full[1])
    with pytest.raises(ValueError, match="one position"):
        encoder(x[:, :2], cache)


def test_relative_attention_follows_its_formula():
    torch.manual_seed(0)
    encoder = RelPosEncoder(6, 8, 2, 16, 1, 0.0, "conformer")
    attention, x = encoder.encoders[0].self_attn, torch.randn(1, 5, 8)
    positions = attention.project_positions(encoder.table(5, x))
    hidden = torch.ones(5, 5).triu(1).bool()
    out = attention(x, positions, hidden, None, 0)
    q, k, v = (
        linear(x)[0].view(5, 2, 4)
        for linear in (attention.linear_q, attention.linear_k, attention.linear_v)
    )
    expected = torch.zeros(5, 2, 4)
    for i in range(5):
        for head in range(2):
            scores = [
                (q[i, head] + attention.pos_bias_u[head]) @ k[j, head]
                + (q[i, head] + attention.pos_bias_v[head]) @ positions[head, 4 - i + j]
                for j in range(i + 1)
            ]
            weights = (torch.stack(scores) / 2).softmax(0)
            expected[i, head] = weights @ v[: i + 1, head]
    expected = attention.linear_out(expected.flatten(1))
    torch.testing.assert_close(out[0], expected)


def test_dropout_reaches_attention_weights_and_hidden_units():
    x = torch.randn(2, 5, 8)
    attention = RelPosAttention(8, 2, dropout=1.0)
    positions = torch.randn(2, 5, 4)
    out = attention(x, positions, None, None, 0)
    torch.testing.assert_close(out, attention.linear_out.bias.expand_as(out))
    assert (attention.eval()(x, positions, None, None, 0) != out).any()
    feed_forward = FeedForward(8, 16, torch.relu, dropout=1.0)
    torch.testing.assert_close(feed_forward(x), feed_forward.w_2.bias.expand_as(x))


def test_position_table_grows_beyond_5000():
    """Quirk Q11 of the reference: cached decoding past 5000 positions failed."""
    table = RelPositionTable(4)
    like = torch.zeros(1)
    short = table(10, like).clone()
    long = table(6000, like)
    torch.testing.assert_close(long[-10:], short)
    angle = torch.tensor([5999.0, 59.99])
    expected = torch.stack([angle.sin(), angle.cos()], -1).flatten()
    torch.testing.assert_close(long[0], expected, rtol=0, atol=1e-3)


def test_training_works_after_inference_mode():
    decoder = build(max_ratio=4.0)
    batch = make_batch()
    with torch.inference_mode():
        decoder.generate(batch[0], Sampling(top_k=1))
    decoder.train()(*batch).loss.backward()


def test_published_sizes_are_the_defaults():
    with torch.device("meta"):
        decoder = UnitTransformerDecoder(51866, 1280, 4096, 192, WeightedSumFusion)
    # entries and elements of `speech_decoder.` in the published checkpoint
    assert len(decoder.state_dict()) == 260
    assert sum(p.numel() for p in decoder.parameters()) == 153_422_339


def test_bad_settings():
    with pytest.raises(ValueError, match="heads"):
        build(llm_heads=3)
    with pytest.raises(ValueError, match="max_ratio"):
        build(min_ratio=3.0, max_ratio=2.0)
