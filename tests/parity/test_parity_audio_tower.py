import pytest
import torch

from espnet2_taste.data.alignment import average_words, length_mask
from espnet2_taste.taste.aggregator.cross_attention import CrossAttentionAggregator
from espnet2_taste.taste.encoder.whisper import WhisperEncoder

TOWER = "audio_tower.audio_joint_encoder_segmenter."
CLOSE = {"atol": 2e-5, "rtol": 1e-4}


@pytest.fixture(scope="module")
def tower(parity):
    """Encoder and aggregator with the reference's weights, their inputs and outputs."""
    whisper = dict(parity.config["asr_config"])
    tower_config = parity.config["audio_tower_config"]
    layer = tower_config["encoder__target_hidden_layer"]
    encoder = WhisperEncoder(
        whisper["num_mel_bins"], config=whisper, value_layer=layer
    ).eval()
    encoder.encoder.load_state_dict(parity.weights(TOWER + "audio_encoder.encoder."))
    aggregator = CrossAttentionAggregator(
        vocab_size=whisper["vocab_size"],
        key_size=encoder.key_size,
        value_size=encoder.value_size,
        d_model=whisper["d_model"],
        num_layers=whisper["decoder_layers"],
        num_heads=whisper["decoder_attention_heads"],
        ffn_dim=whisper["decoder_ffn_dim"],
        max_positions=whisper["max_target_positions"],
        mask_padding=False,
    ).eval()
    aggregator.load_state_dict(parity.weights(TOWER + "audio_segmenter.decoder."))
    inputs = parity.load("inputs")
    lengths = inputs["audio_feature_lengths"].long()
    encoder_out = encoder(inputs["audio_features"], lengths)
    return encoder_out, aggregator, inputs, parity.load("a_audio_tower")


def test_key_and_value_states(tower):
    encoder_out, _, _, want = tower
    keys, values = encoder_out.keys[:, ::50], encoder_out.values[:, ::50]
    torch.testing.assert_close(keys, want["key_states_every50"], **CLOSE)
    torch.testing.assert_close(values, want["val_states_every50"], **CLOSE)


@torch.no_grad()
def test_attention_maps(tower):
    encoder_out, aggregator, inputs, want = tower
    text, lengths = inputs["asr_token_ids"], inputs["asr_token_lengths"].long()
    _, maps = aggregator.decode(text, lengths, encoder_out, need_attention=True)
    # The reference appends the end token after the padding: compare the text's rows.
    rows = length_mask(lengths + 4, 4 + text.size(1))
    for layer, got in enumerate(maps):
        expected = want[f"cross_attn_l{layer}_every50"][:, :, :-1].transpose(1, 2)
        got = got[:, :, :-1, ::50].transpose(1, 2)
        torch.testing.assert_close(got[rows], expected[rows], atol=1e-6, rtol=1e-3)
    output = aggregator(text, lengths, encoder_out, need_attention=True)
    total = output.attention.sum(dim=-1)
    torch.testing.assert_close(total, torch.ones_like(total))


@torch.no_grad()
def test_hidden_states_and_word_averaging(tower):
    encoder_out, aggregator, inputs, want = tower
    text, lengths = inputs["asr_token_ids"], inputs["asr_token_lengths"].long()
    hidden = aggregator(text, lengths, encoder_out).hidden
    valid = length_mask(lengths, text.size(1))
    subword = want["segmented_feats_subword"][:, :-1]
    torch.testing.assert_close(hidden[valid], subword[valid], **CLOSE)
    words = average_words(hidden, inputs["asr_word_ids"].long(), lengths)
    expected = want["segmented_feats"][:, :-1]
    torch.testing.assert_close(words[valid], expected[valid], **CLOSE)
    expected = want["tower_novq_audio_unit_embeds"]
    torch.testing.assert_close(words[valid], expected[valid], **CLOSE)


@torch.no_grad()
def test_tower_with_rvq(tower, reference_rvq):
    encoder_out, aggregator, inputs, want = tower
    text, lengths = inputs["asr_token_ids"], inputs["asr_token_lengths"].long()
    hidden = aggregator(text, lengths, encoder_out).hidden
    hidden = average_words(hidden, inputs["asr_word_ids"].long(), lengths)
    quantizer = reference_rvq.eval()
    output = quantizer(hidden, length_mask(lengths, text.size(1)))
    assert torch.equal(output.codes, want["tower_vq_quantized_indices"])
    torch.testing.assert_close(
        output.embeddings, want["tower_vq_audio_unit_embeds"], **CLOSE
    )
