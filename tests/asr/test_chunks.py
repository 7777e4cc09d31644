import pytest
import torch

from espnet2_taste.asr.chunks import ChunkStream
from espnet2_taste.asr.espnet_asr import build_encoder, encode, mask_padding
from espnet2_taste.taste.tokenizer.espnet_encoder import EspnetEncoder

COMMON = {
    "output_size": 8,
    "attention_heads": 2,
    "num_blocks": 2,
    "rel_pos_type": "latest",
    "chunk_size": 3,
    "left_chunks": 1,
}
CONFORMER = {"linear_units": 8, "cnn_module_kernel": 7, "input_layer": "conv2d"}
BRANCHFORMER = {
    "linear_units": 8,
    "cgmlp_linear_units": 8,
    "cgmlp_conv_kernel": 5,
    "merge_conv_kernel": 3,
    "input_layer": "linear",
}
KINDS = {
    "conformer": CONFORMER | {"macaron_style": True, "use_cnn_module": True},
    "e_branchformer": BRANCHFORMER,
}


def built(name, **conf):
    torch.manual_seed(0)
    encoder = build_encoder(name, 20, COMMON | KINDS[name] | conf)
    mask_padding(encoder)
    return encoder.eval()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("pieces", [(100,), (1, 5, 30, 0, 64), (13,) * 7 + (9,)])
def test_chunk_by_chunk_is_one_pass_under_the_same_masks(name, pieces):
    """Outputs and what enters the layers; each chunk after ``latency`` features."""
    encoder, feats = built(name), torch.randn(2, 100, 20)
    whole = encode(encoder, feats, torch.tensor([100, 100]), [0, 1])[1:]
    stream, parts, heard = ChunkStream(encoder, (0, 1)), [], 0
    for index, piece in enumerate(feats.split(pieces, 1)):
        parts.append(stream.push(piece, last=index == len(pieces) - 1))
        heard += piece.size(1)
        known = sum(part[0].size(1) for part in parts)
        if heard < 100:
            chunk = stream.size * stream.subsampling
            due = (
                (heard - stream.latency) // chunk + 1 if heard >= stream.latency else 0
            )
            assert known == due * stream.size
    for want, found in zip(whole, zip(*parts, strict=True), strict=True):
        torch.testing.assert_close(torch.cat(found, 1), want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_the_future_beyond_the_chunk_is_not_heard(name):
    """And a batch gives what its items do."""
    encoder, feats = built(name), torch.randn(1, 60, 20)
    changed = feats.clone()
    changed[:, 40:] = 9
    stream = ChunkStream(encoder)
    same = max(0, 40 - stream.latency) // (stream.size * stream.subsampling) + 1
    outs = [encode(encoder, x, torch.tensor([60]))[1] for x in (feats, changed)]
    frames = same * stream.size
    assert torch.equal(outs[0][:, :frames], outs[1][:, :frames])
    assert not torch.allclose(outs[0][:, frames], outs[1][:, frames])
    batch = torch.cat([torch.cat([feats[:, :45], torch.zeros(1, 15, 20)], 1), feats])
    lengths, both = encode(encoder, batch, torch.tensor([45, 60]))
    alone = encode(encoder, feats[:, :45], torch.tensor([45]))[1]
    torch.testing.assert_close(both[:1, : int(lengths[0])], alone)
    torch.testing.assert_close(both[1:], outs[0])


def test_keys_and_values_of_a_stream():
    conf = COMMON | KINDS["conformer"]
    torch.manual_seed(0)
    encoder = EspnetEncoder(
        22, encoder="conformer", encoder_conf=conf, asr_input_size=20, value_source=1
    ).eval()
    feats = torch.randn(1, 70, 22)
    whole = encoder(feats, torch.tensor([70]))
    stream = encoder.open_stream()
    assert stream.latency == 2 * 4 + 7  # three frames of 40 ms, and what they overlap
    parts = [stream.push(feats[:, :33]), stream.push(feats[:, 33:], last=True)]
    for name in ("keys", "values"):
        found = torch.cat([getattr(part, name) for part in parts], 1)
        torch.testing.assert_close(found, getattr(whole, name), atol=1e-4, rtol=1e-4)


def test_what_cannot_be_heard_in_chunks():
    plain = COMMON | KINDS["conformer"]
    for wrong in ({"rel_pos_type": "legacy"}, {"chunk_size": 0}, {"left_chunks": -1}):
        with pytest.raises(ValueError, match="encoder_conf"):
            mask_padding(build_encoder("conformer", 20, plain | wrong))
    options = {"encoder": "conformer", "asr_input_size": 20, "encoder_conf": plain}
    with pytest.raises(ValueError, match="value_source features .* cannot stream"):
        EspnetEncoder(20, **options).open_stream()
    with pytest.raises(ValueError, match="normalize utterance_mvn .* cannot stream"):
        encoder = EspnetEncoder(
            20, **options, normalize="utterance_mvn", value_source=0
        )
        encoder.open_stream()
    del plain["chunk_size"], plain["left_chunks"]
    with pytest.raises(ValueError, match="was not trained in chunks"):
        EspnetEncoder(20, **options, value_source=0).open_stream()


def test_a_recogniser_is_trained_with_chunks():
    from espnet2_taste.asr.espnet_asr import register_frontend

    register_frontend()
    from espnet2.tasks.asr import encoder_choices

    made = encoder_choices.get_class("conformer")
    torch.manual_seed(0)
    encoder = made(input_size=20, **COMMON, **KINDS["conformer"])
    mask_padding(encoder)
    feats, lengths = torch.randn(2, 50, 20), torch.tensor([50, 41])
    ours = built("conformer")
    ours.load_state_dict(encoder.state_dict())
    feats[1, 41:] = 0
    torch.testing.assert_close(
        encode(encoder.eval(), feats, lengths)[1], encode(ours, feats, lengths)[1]
    )
