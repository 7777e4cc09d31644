"""The unit transformer against the reference's (c_speech_decoder)."""

import pytest
import torch
from parity.compare import assert_same, check_tensor
from parity.computed.speech_decoder import FILES, conditioning
from parity.models import taste_model

from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    Conditioning,
    Sampling,
)
from espnet2_taste.text.view import TextView


@pytest.mark.tensors(*FILES)
def test_tensor(parity, tensor):
    check_tensor(parity, FILES, tensor)


@pytest.mark.parametrize("mode", ["full", "skip"])
def test_output(parity, mode):
    """Logits and targets of the class are those of the predicting positions."""
    model, data = taste_model(parity).speech_decoder, parity.load("c_speech_decoder")
    units, lengths = data["speech_token_ids"], data["speech_token_lengths"].long()
    out = model(conditioning(parity, mode == "full"), units, lengths)
    labels = data[f"{mode}_labels"]
    assert torch.equal(out.targets[out.targets >= 0], labels[labels >= 0])
    assert_same(out.logits[out.targets >= 0], data[f"{mode}_logits"][labels >= 0])


@pytest.mark.parametrize("mode", ["full", "skip"])
def test_padding_changes_nothing(parity, mode):
    """Each item alone, without padding, gives its row of the batch."""
    model, data = taste_model(parity).speech_decoder, parity.load("c_speech_decoder")
    batch = conditioning(parity, mode == "full")
    units, lengths = data["speech_token_ids"], data["speech_token_lengths"].long()
    for item, length in enumerate(batch.text.lengths.tolist()):
        cond = Conditioning(
            TextView(
                batch.text.ids[[item], :length],
                batch.text.lengths[[item]],
                batch.text.word_ids[[item], :length],
            ),
            None if batch.audio is None else batch.audio[[item], :length],
            batch.spk_emb[[item]],
        )
        out = model(cond, units[[item], : lengths[item]], lengths[[item]])
        labels = data[f"{mode}_labels"][item]
        assert_same(out.logits[0], data[f"{mode}_logits"][item][labels >= 0])
        if mode == "full":
            made = model.generate(cond, Sampling(top_k=1))
            assert_same(made.units, data[f"ar{item}_speech_token_ids"])
