"""Encoder, aggregator and word averaging against the reference's (a_audio_tower)."""

import pytest
import torch
from parity.compare import Result, assert_same, check_tensor
from parity.computed.audio_tower import FILES, single_word_item
from parity.models import taste_model

from espnet2_taste.nn.segments import average_segments, length_mask


@pytest.mark.tensors(*FILES)
def test_tensor(parity, tensor):
    check_tensor(parity, FILES, tensor)


@pytest.fixture
def tower(parity):
    """Model, inputs, text, lengths and encoder states of the fixture's batch."""
    model, inputs = taste_model(parity), parity.load("inputs")
    text, lengths = inputs["asr_token_ids"], inputs["asr_token_lengths"].long()
    encoder_out = model.encoder(
        inputs["audio_features"], inputs["audio_feature_lengths"].long()
    )
    return model, text, lengths, encoder_out


@torch.no_grad()
def test_padding_of_the_text_changes_nothing(parity, tower):
    """With true lengths (our end token follows the text) the text's rows are equal."""
    model, text, lengths, encoder_out = tower
    want = parity.load("a_audio_tower")
    words = parity.load("inputs")["asr_word_ids"].long()
    valid = length_mask(lengths, text.size(1))
    hidden, maps = model.aggregator.decode(text, lengths, encoder_out, True)
    start = len(model.aggregator.prefix_ids)
    hidden = hidden[:, start:-1]
    assert_same(Result(hidden, valid), want["segmented_feats_subword"][:, :-1])
    for match in parity.match("a_audio_tower", r"cross_attn_l(\d+)_every(\d+)"):
        got = maps[int(match[1])][:, :, start:-1, :: int(match[2])].transpose(1, 2)
        expected = want[match[0]][:, :, start:-1].transpose(1, 2)
        assert_same(Result(got, valid), expected)
    averaged = average_segments(hidden, words, lengths)
    assert_same(Result(averaged, valid), want["tower_novq_audio_unit_embeds"])
    quantized = model.quantizer(averaged, valid)
    assert torch.equal(quantized.codes, want["tower_vq_quantized_indices"])
    assert_same(quantized.embeddings, want["tower_vq_audio_unit_embeds"])


@torch.no_grad()
def test_one_word_is_averaged_whatever_the_padding(parity, tower):
    """singleword: ours equals the reference without padding; only there Q2 is silent.

    ``test_tensor`` reproduces the reference's padded results with its quirk.
    """
    model, text, lengths, encoder_out = tower
    want, item = parity.load("a_audio_tower"), single_word_item(parity)
    hidden = model.aggregator(text, lengths, encoder_out).hidden
    words = want["singleword_word_ids"].long()
    ours = average_segments(hidden, words, lengths)[item, : lengths[item]]
    expected = want["singleword_pad0_embeds"][0]
    assert_same(ours, expected)
    for match in parity.match("a_audio_tower", r"singleword_pad([1-9]\d*)_embeds"):
        quirk = want[match[0]][-1 if len(want[match[0]]) == 1 else item]
        quirk = quirk[: lengths[item]]
        assert (quirk - expected).abs().max() > 1e-3 * expected.abs().max()
        if int(match[1]) > 1:  # not averaged at all
            assert_same(hidden[item, : lengths[item]], quirk)
