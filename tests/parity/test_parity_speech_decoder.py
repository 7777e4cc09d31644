"""The unit transformer against logits, gradients and greedy units of the reference."""

import json

import pytest
import torch

from espnet2_taste.fusion import WeightedSumFusion
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    Conditioning,
    Sampling,
)
from espnet2_taste.taste.speech_decoder.unit_transformer import (
    UnitTransformerDecoder,
    reference_key,
)

UNITS = 120


def assert_near(ours, reference, scale=1e-5):
    """Largest difference relative to the reference's largest value."""
    assert ours.shape == reference.shape
    error = (ours - reference).abs().max() / reference.abs().max()
    assert error < scale, f"relative error {error:.2e}"


@pytest.fixture
def decoder(parity):
    conf = parity.config["speech_decoder_config"]
    heads, ffn = conf["encoder__attention_heads"], conf["encoder__linear_units"]
    model = UnitTransformerDecoder(
        conf["text_token_size"],
        conf["audio_encoder_input_size"],
        conf["speech_token_size"],
        conf["spk_embed_dim"],
        WeightedSumFusion,
        embed_size=conf["encoder_input_size"],
        encoder_size=conf["llm_input_size"],
        text_blocks=conf["encoder__num_blocks"],
        text_heads=heads,
        text_ffn_size=ffn,
        llm_size=conf["llm_input_size"],
        llm_blocks=conf["llm__num_blocks"],
        llm_heads=conf["llm__attention_heads"],
        llm_ffn_size=conf["llm__linear_units"],
        dropout=0.0,
    )
    prefix = "speech_decoder."
    published = {k for k in parity.model if k.startswith(prefix)}
    names = {name: prefix + reference_key(name) for name in model.state_dict()}
    assert set(names.values()) == published
    model.load_state_dict({name: parity.model[key] for name, key in names.items()})
    return model.eval()


@pytest.fixture
def tensors(parity):
    return parity.load("c_speech_decoder")


def conditioning(tensors, parity, audio):
    return Conditioning(
        text=tensors["asr_token_ids"],
        text_lengths=tensors["asr_token_lengths"].long(),
        word_ids=parity.load("inputs")["asr_word_ids"].long(),
        audio=tensors["audio_unit_embeds"] if audio else None,
        spk_emb=tensors["speaker_embeds"],
    )


def test_text_encoder(decoder, tensors, parity):
    cond = conditioning(tensors, parity, True)
    out = decoder.text_encoder(decoder.text_embedding(cond.text))
    audio = decoder.audio_embed_affine_layer(cond.audio)
    audio = decoder.audio_token_encoder_affine_layer(decoder.audio_token_encoder(audio))
    for item, length in enumerate(cond.text_lengths.tolist()):
        reference = tensors["text_encoder_out"][item, :length]
        assert_near(out[item, :length], reference)
        assert_near(audio[item, :length], tensors["audio_encoded"][item, :length])


@pytest.mark.parametrize("mode", ["full", "skip"])
def test_logits_loss_and_gradients(decoder, tensors, parity, mode):
    cond = conditioning(tensors, parity, mode == "full")
    if mode == "full":
        cond.audio = cond.audio.clone().requires_grad_()
    units = tensors["speech_token_ids"]
    lengths = tensors["speech_token_lengths"].long()
    out = decoder(cond, units, lengths)
    labels = tensors[f"{mode}_labels"]
    predicting = labels != -1
    assert torch.equal(out.targets[out.targets != -1], labels[predicting])
    logits = out.logits[out.targets != -1]
    assert_near(logits, tensors[f"{mode}_logits"][predicting])
    assert_near(out.loss, tensors[f"{mode}_loss"])

    out.loss.backward()
    grad = decoder.llm_decoder.weight.grad
    assert_near(grad, tensors[f"{mode}_grad_llm_decoder_w"], 1e-4)
    reference = tensors[f"{mode}_grad_spk_affine_w_sum"]
    # recorded as a sum over one axis of the (llm, speaker) gradient
    grad = decoder.spk_embed_affine_layer.weight.grad
    assert_near(grad.sum(1), reference, 1e-4)
    if mode == "full":
        assert_near(cond.audio.grad, tensors["full_grad_audio_unit_embeds"], 1e-4)


def test_greedy_units(decoder, tensors, parity):
    cond = conditioning(tensors, parity, True)
    made = decoder.generate(cond, Sampling(top_k=1))
    for item in range(2):
        reference = tensors[f"ar{item}_speech_token_ids"][0].long()
        assert torch.equal(made.units[item, : made.lengths[item]], reference)


def test_greedy_units_until_the_end_of_speech(decoder, tensors, parity):
    cond = conditioning(tensors, parity, True)
    index = json.loads((parity.folder / "index.json").read_text())
    delta = index["cases"]["c_speech_decoder"]["ar_eos_bias_delta"]
    with torch.no_grad():
        decoder.llm_decoder.bias[UNITS] += delta
    made = decoder.generate(cond, Sampling(top_k=1))
    reference = tensors["ar_eos_speech_token_ids"][0].long()
    assert torch.equal(made.units[0, : made.lengths[0]], reference)
