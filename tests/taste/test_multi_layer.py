import pytest
import torch

from espnet2_taste.taste.build import build_taste_model
from espnet2_taste.taste.tokenizer.abs_encoder import EncoderOutput
from espnet2_taste.taste.tokenizer.cross_attention import CrossAttentionAggregator
from espnet2_taste.taste.tokenizer.multi_layer import MultiLayerAggregator

SIZES = {"d_model": 16, "num_layers": 2, "num_heads": 4, "ffn_dim": 32}
SIZES |= {"prefix_ids": [], "suffix_ids": [], "max_positions": 12}


def build(num_values, trained=True, seed=0, **conf):
    torch.manual_seed(seed)
    conf = SIZES | {"mixer_size": 8} | conf
    aggregator = MultiLayerAggregator(20, 12, 10, num_values, **conf).eval()
    if trained:
        torch.nn.init.normal_(aggregator.mixer[-1].weight)
    return aggregator


def batch(num_values, seed=1):
    torch.manual_seed(seed)
    shape = (2, 9, num_values, 10) if num_values > 1 else (2, 9, 10)
    frames = EncoderOutput(
        torch.randn(2, 9, 12), torch.randn(shape), torch.tensor([9, 6])
    )
    return torch.randint(0, 20, (2, 5)), torch.tensor([5, 3]), frames


def test_equation():
    """v_f = sum_l softmax(W_2 gelu(W_1 k_f))_l v_fl, frame by frame."""
    aggregator = build(3)
    text, lengths, frames = batch(3)
    first, _, second = aggregator.mixer
    values = torch.zeros(2, 9, 10)
    for item in range(2):
        for f in range(9):
            hidden = torch.nn.functional.gelu(first(frames.keys[item, f]))
            weights = (second.weight @ hidden + second.bias).softmax(dim=0)
            for layer in range(3):
                values[item, f] += weights[layer] * frames.values[item, f, layer]
    plain = CrossAttentionAggregator(20, 12, 10, **SIZES).eval()
    state = aggregator.state_dict()
    plain.load_state_dict({k: state[k] for k in plain.state_dict()})
    want = plain(text, lengths, EncoderOutput(frames.keys, values, frames.lengths))
    got = aggregator(text, lengths, frames)
    torch.testing.assert_close(got.hidden, want.hidden)


def test_starts_with_the_mean_of_the_layers():
    weights = build(4, trained=False).layer_weights(torch.randn(2, 9, 12))
    assert torch.equal(weights, torch.full((2, 9, 4), 0.25))
    assert build(4).layer_weights(torch.randn(2, 9, 12)).std(dim=1).min() > 0


def test_one_layer_is_cross_attention():
    aggregator = build(1)
    torch.manual_seed(0)
    plain = CrossAttentionAggregator(20, 12, 10, **SIZES).eval()
    text, lengths, frames = batch(1)
    want = plain(text, lengths, frames, need_attention=True)
    got = aggregator(text, lengths, frames, need_attention=True)
    assert torch.equal(got.hidden, want.hidden)
    assert torch.equal(got.attention, want.attention)


def test_batch_is_single():
    aggregator = build(3)
    text, lengths, frames = batch(3)
    output = aggregator(text, lengths, frames, need_attention=True)
    short = EncoderOutput(frames.keys[1:, :6], frames.values[1:, :6], lengths[1:] * 2)
    alone = aggregator(text[1:, :3], lengths[1:], short, need_attention=True)
    torch.testing.assert_close(output.hidden[1:, :3], alone.hidden)
    torch.testing.assert_close(output.attention[1:, :3, :6], alone.attention)


@pytest.mark.parametrize("mask_padding", [True, False])
def test_padded_frames_count_only_without_mask(mask_padding):
    aggregator = build(3, mask_padding=mask_padding)
    text, lengths, frames = batch(3)
    first = aggregator(text, lengths, frames).hidden
    frames.values[1, 6:] += 1.0
    frames.keys[1, 6:] -= 1.0
    second = aggregator(text, lengths, frames).hidden
    assert torch.allclose(first[1], second[1]) == mask_padding
    assert torch.equal(first[0], second[0])


def test_gradients_reach_every_layer_and_the_mixer():
    aggregator = build(3).train()
    text, lengths, frames = batch(3)
    frames.values.requires_grad_(True)
    aggregator(text, lengths, frames).hidden.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in aggregator.mixer.parameters())
    valid = frames.values.grad[0].abs().sum(dim=-1)
    assert (valid > 0).all()  # (F, K)
    assert (frames.values.grad[1, 6:] == 0).all()


def test_a_single_layer_aggregator_wants_one_layer():
    with pytest.raises(ValueError, match="gives 3 value layers.*multi_layer"):
        CrossAttentionAggregator(20, 12, 10, 3, **SIZES)


def test_in_a_model(train_taste, tiny_taste_conf, tmp_path):
    """It trains through the command; the model is built again from its config.yaml."""
    import argparse

    import yaml

    conf = {
        "encoder_conf": tiny_taste_conf["encoder_conf"] | {"value_layer": [0, 1, 2]},
        "aggregator": "multi_layer",
        "aggregator_conf": tiny_taste_conf["aggregator_conf"] | {"mixer_size": 4},
        "max_epoch": 1,
    }
    folder = train_taste(tmp_path / "taste", conf)
    args = yaml.safe_load((folder / "config.yaml").read_text())
    model = build_taste_model(argparse.Namespace(**args))
    state = torch.load(folder / "valid.acc.best.pth", weights_only=True)
    model.load_state_dict(state)
    assert state["aggregator.mixer.2.weight"].abs().sum() > 0  # it starts at zero
