import pytest
import torch
from encoder_checks import check_batch_is_single, feats

from espnet2_taste.taste.tokenizer.whisper_encoder import WhisperEncoder
from espnet2_taste.taste.tokenizer.whisper_mel import WhisperMelFrontend

WHISPER = {
    "num_mel_bins": 8,
    "d_model": 16,
    "encoder_layers": 3,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "max_source_positions": 20,  # 0.4 s
    "init_std": 0.3,
}
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def built(window_s=0.2, left_context_s=0.12, **options):
    """window_s None: an encoder of whole utterances."""
    torch.manual_seed(0)
    options = {"config": WHISPER, "value_layer": 2} | options
    if window_s is not None:
        options |= {"window_s": window_s, "left_context_s": left_context_s}
    return WhisperEncoder(8, **options).eval()


@pytest.mark.parametrize("length", [8, 20, 61, 64])
def test_each_frame_is_of_the_window_in_which_it_is_new(length):
    """20 features, of which 12 are past and 8 new; the loudest sets the floor. Their
    positions are the utterance's, up to the 20 frames that there are."""
    encoder, whole = built(), built(None)
    positions = whole.encoder.embed_positions.weight.data.clone()
    x = 3 * torch.randn(1, length, 8)
    out, keys, values = encoder(x, torch.tensor([length])), [], []
    for new in range(0, length, 8):
        start = max(0, new - 12)
        window = x[:, start : new + 8]
        window = window.maximum(window.max() - 2.0)
        first = min(start // 2, 20 - 10)
        whole.encoder.embed_positions.weight.data = positions[first:]
        alone = whole(window, torch.tensor([window.size(1)]))
        keys.append(alone.keys[:, (new - start) // 2 :])
        values.append(alone.values[:, (new - start) // 2 :])
    assert out.lengths.tolist() == [(length + 1) // 2]
    torch.testing.assert_close(out.keys, torch.cat(keys, 1), **CLOSE)
    torch.testing.assert_close(out.values, torch.cat(values, 1), **CLOSE)


@pytest.mark.parametrize("windows", [(0.2, 0.12), (0.2, 0.0), (0.4, 0.38)])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_batch_is_single(windows, attention, monkeypatch):
    """Longer than it has positions for, in more windows than are encoded together."""
    name = "espnet2_taste.taste.tokenizer.whisper_windows.MOST_WINDOWS"
    monkeypatch.setattr(name, 4)
    encoder = built(*windows, attn_implementation=attention, value_layer=[0, 2])
    check_batch_is_single(encoder, *feats(8, (93, 22, 8)))


@pytest.mark.parametrize("pieces", [(93,), (1, 5, 30, 0, 57), (13,) * 7 + (2,)])
def test_in_pieces_as_at_once(pieces):
    """Each window after ``latency`` new features."""
    encoder, x = built(value_layer=[0, 2]), torch.randn(2, 93, 8)
    whole = encoder(x, torch.tensor([93, 93]))
    stream, parts, heard = encoder.open_stream(), [], 0
    assert stream.latency == 8
    for index, piece in enumerate(x.split(pieces, 1)):
        parts.append(stream.push(piece, last=index == len(pieces) - 1))
        heard += piece.size(1)
        if heard < 93:
            known = sum(part.keys.size(1) for part in parts)
            assert known == heard // 8 * 4
    assert stream.push(x[:, :0], last=True).keys.shape == (2, 0, 16)
    for name in ("keys", "values"):
        found = torch.cat([getattr(part, name) for part in parts], 1)
        torch.testing.assert_close(found, getattr(whole, name), **CLOSE)
    assert sum(part.lengths for part in parts).tolist() == whole.lengths.tolist()


def test_one_window_is_what_whisper_reads():
    """The floor, too, which is the frontend's otherwise."""
    wav = torch.randn(1, 6000) * 10 ** (6 * torch.linspace(0, 3, 6000).sin() - 6)
    lengths = torch.tensor([6000])
    conf = {"n_mels": 8, "pad_to_30s": False}
    x, frames = WhisperMelFrontend(**conf)(wav, lengths)
    want = built(None)(x, frames)
    free, _ = WhisperMelFrontend(**conf, floor=False)(wav, lengths)
    assert free.min() < x.min() - 0.5
    found = built(0.4, 0.0)(free, frames)
    torch.testing.assert_close(found.keys, want.keys, **CLOSE)


def test_windows_that_cannot_be(caplog):
    for window, left in ((0.5, 0.1), (0.2, 0.2), (0.2, -0.1), (0.0, 0.1)):
        with pytest.raises(ValueError, match="window_s .* must be more than left_cont"):
            built(window, left)
    with pytest.raises(ValueError, match="left_context_s 0.11 is no multiple of 0.02"):
        built(0.2, 0.11)
    with pytest.raises(ValueError, match="set pad_to_30s: false in frontend_conf"):
        built(mask_padding=False)
    with pytest.raises(ValueError, match="reads an utterance at once; give window_s"):
        built(None).open_stream()
    with pytest.raises(ValueError, match="set floor: false in frontend_conf"):
        frontend = WhisperMelFrontend(pad_to_30s=False)
        WhisperEncoder.resolve_conf({"window_s": 10.0}, frontend)
    with pytest.raises(ValueError, match="93 frames of features, .* give window_s"):
        built(None)(torch.zeros(1, 93, 8), torch.tensor([93]))
    with caplog.at_level("INFO"):
        built()
    assert "windows of 0.2 s with 0.12 s of past: latency 0.08 s" in caplog.text


def test_it_is_trained_through_its_windows():
    encoder = built(frozen=False)
    out = encoder.train()(*feats(8, (50, 22)))
    (out.keys.sum() + out.values.sum()).backward()
    assert encoder.encoder.conv1.weight.grad.abs().sum() > 0
