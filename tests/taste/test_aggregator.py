import pytest
import torch
from transformers import WhisperConfig, WhisperModel

from espnet2_taste.taste.tokenizer.abs_encoder import EncoderOutput
from espnet2_taste.taste.tokenizer.cross_attention import CrossAttentionAggregator

SIZES = {"d_model": 16, "num_layers": 2, "num_heads": 4, "ffn_dim": 32}


def build(vocab_size=20, key_size=12, value_size=10, seed=0, **conf):
    torch.manual_seed(seed)
    conf = {"prefix_ids": [], "suffix_ids": [], "max_positions": 12} | SIZES | conf
    return CrossAttentionAggregator(vocab_size, key_size, value_size, **conf).eval()


def batch(key_size=12, value_size=10):
    generator = torch.Generator().manual_seed(1)
    encoder_out = EncoderOutput(
        torch.randn(2, 9, key_size, generator=generator),
        torch.randn(2, 9, value_size, generator=generator),
        torch.tensor([9, 6]),
    )
    text = torch.randint(0, 20, (2, 5), generator=generator)
    text[1, 3:] = -1  # padding may be any id
    return text, torch.tensor([5, 3]), encoder_out


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("special", [{}, {"prefix_ids": [1, 2], "suffix_ids": [3]}])
def test_batch_is_single(causal, special):
    aggregator = build(causal=causal, **special)
    text, lengths, frames = batch()
    output = aggregator(text, lengths, frames, need_attention=True)
    assert output.hidden.shape == (2, 5, aggregator.output_size)
    assert output.attention.shape == (2, 5, 9)
    short = EncoderOutput(frames.keys[1:, :6], frames.values[1:, :6], lengths[1:] * 2)
    alone = aggregator(text[1:, :3], lengths[1:], short, need_attention=True)
    torch.testing.assert_close(output.hidden[1:, :3], alone.hidden)
    torch.testing.assert_close(output.attention[1:, :3, :6], alone.attention)
    assert (output.attention[1, :, 6:] == 0).all()
    torch.testing.assert_close(output.attention.sum(-1), torch.ones(2, 5))
    fast = aggregator(text, lengths, frames)
    assert fast.attention is None
    torch.testing.assert_close(fast.hidden, output.hidden)


def test_causality():
    text, lengths, frames = batch()
    changed = text.clone()
    changed[0, 4] = (text[0, 4] + 1) % 20
    for causal in (True, False):
        aggregator = build(causal=causal)
        first = aggregator(text, lengths, frames).hidden[0, :4]
        second = aggregator(changed, lengths, frames).hidden[0, :4]
        assert torch.allclose(first, second) == causal


def test_frames_of_the_padding_count_only_without_mask():
    text, lengths, frames = batch()
    for mask_padding in (True, False):
        aggregator = build(mask_padding=mask_padding)
        first = aggregator(text, lengths, frames).hidden
        keys = frames.keys.clone()
        keys[1, 6:] += 1.0
        changed = EncoderOutput(keys, frames.values, frames.lengths)
        second = aggregator(text, lengths, changed).hidden
        assert torch.allclose(first, second) == mask_padding


def test_special_tokens():
    aggregator = build(prefix_ids=[1, 2], suffix_ids=[3, 4])
    text, lengths, _ = batch()
    ids, total = aggregator._add_special_tokens(text, lengths)
    assert total.tolist() == [9, 7]
    assert ids[1].tolist() == [1, 2, *text[1, :3].tolist(), 3, 4, 0, 0]
    with pytest.raises(ValueError, match=r"prefix_ids \[50258.*vocabulary of 20"):
        CrossAttentionAggregator(20, 12, 10, **SIZES)


def test_too_long_text():
    aggregator = build(max_positions=6, prefix_ids=[1], suffix_ids=[2])
    text, lengths, frames = batch()
    with pytest.raises(ValueError, match="7 tokens .* max_positions 6"):
        aggregator(text, lengths, frames)


def test_identity_value_projection():
    weight = build(value_size=16).layers[0].encoder_attn.v_proj.weight
    assert torch.equal(weight, torch.eye(16))
    conf = {"value_size": 16, "identity_value_proj": False}
    assert not torch.equal(build(**conf).layers[1].encoder_attn.v_proj.weight, weight)
    assert build(value_size=10).layers[0].encoder_attn.v_proj.weight.shape == (16, 10)
    with pytest.raises(ValueError, match="not a multiple of num_heads"):
        build(num_heads=3)


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    """A tiny Whisper in a local folder."""
    config = WhisperConfig(
        vocab_size=20,
        d_model=16,
        encoder_layers=1,
        decoder_layers=3,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_target_positions=12,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=3,
    )
    torch.manual_seed(0)
    model = WhisperModel(config).eval()
    folder = tmp_path_factory.mktemp("whisper")
    model.save_pretrained(folder)
    return model, str(folder)


def test_equals_the_whisper_decoder(whisper):
    model, folder = whisper
    aggregator = build(
        key_size=16,
        value_size=16,
        num_layers=3,
        init_from=folder,
        identity_value_proj=False,
        mask_padding=False,
    )
    assert set(aggregator.state_dict()) == set(model.decoder.state_dict())
    text = torch.randint(0, 20, (2, 5))
    frames = torch.randn(2, 9, 16)
    encoder_out = EncoderOutput(frames, frames, torch.tensor([9, 9]))
    with torch.no_grad():
        want = model.decoder(text, encoder_hidden_states=frames).last_hidden_state
        got = aggregator(text, torch.tensor([5, 5]), encoder_out).hidden
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


def test_init_from_takes_the_first_layers(whisper):
    model, folder = whisper
    aggregator = build(key_size=16, value_size=16, init_from=folder)
    first = model.decoder.layers[0]
    assert torch.equal(aggregator.layers[0].fc1.weight, first.fc1.weight)
    value = aggregator.layers[0].encoder_attn.v_proj.weight
    assert torch.equal(value, torch.eye(16))
    with pytest.raises(ValueError, match="does not fit at"):
        build(key_size=12, value_size=16, init_from=folder)
    with pytest.raises(FileNotFoundError, match="neither a local folder nor"):
        build(init_from=folder + "/nothing")


def test_another_vocabulary_and_width(whisper):
    """A new token table on Whisper's layers, and vectors of the decoder's width."""
    model, folder = whisper
    conf = {"key_size": 16, "value_size": 16, "vocab_size": 31}
    with pytest.raises(ValueError, match="init_tokens: false for another vocabulary"):
        build(init_from=folder, **conf)
    aggregator = build(init_from=folder, init_tokens=False, projected_size=6, **conf)
    layer = model.decoder.layers[0]
    assert torch.equal(aggregator.layers[0].fc1.weight, layer.fc1.weight)
    assert aggregator.embed_tokens.weight.shape == (31, 16)
    text, lengths, frames = batch(16, 16)
    hidden = aggregator(text, lengths, frames).hidden
    assert hidden.shape == (2, 5, 6) and aggregator.output_size == 6
    before, _ = aggregator.decode(text, lengths, frames)
    torch.testing.assert_close(hidden, aggregator.projection(before))


def test_gradients_reach_everything():
    aggregator = build(dropout=0.1).train()
    text, lengths, frames = batch()
    aggregator(text, lengths, frames).hidden.square().sum().backward()
    assert all(p.grad is not None for p in aggregator.parameters())
