import pytest
import torch

from espnet2_taste.asr.feature_stream import FeatureStream
from espnet2_taste.asr.log_mel import LogMelFrontend
from espnet2_taste.asr.mel_pitch import MelPitchFrontend
from espnet2_taste.taste.tokenizer.whisper_mel import WhisperMelFrontend

FRONTENDS = {
    "whisper_mel": lambda: WhisperMelFrontend(pad_to_30s=False, floor=False),
    "default": lambda: LogMelFrontend(n_mels=20, hop_length=128),
    "default_long": lambda: LogMelFrontend(n_mels=20, n_fft=600, hop_length=250),
}


@pytest.mark.parametrize("name", FRONTENDS)
@pytest.mark.parametrize("length", [300, 5000, 6400])
@pytest.mark.parametrize("step", [1, 130, 1700, 9999])
def test_in_pieces_as_at_once(name, length, step):
    if step == 1 and length > 300:
        pytest.skip("slow")
    frontend = FRONTENDS[name]()
    torch.manual_seed(length)
    wav = 0.1 * torch.randn(2, length)
    whole, lengths = frontend(wav, torch.tensor([length] * 2))
    stream, found, heard = FeatureStream(frontend), [], 0
    for piece in wav.split(step, 1):
        found.append(stream.push(piece))
        heard += piece.size(1)
        there = sum(feats.size(1) for feats in found)
        due = (torch.arange(999) * stream.hop + stream.reach < heard).sum()
        assert there == int(due)
        assert stream.wav.size(1) <= step + 4 * stream.reach + stream.hop
    found.append(stream.push(wav[:, :0], last=True))
    found = torch.cat(found, 1)
    assert found.shape == whole.shape and found.size(1) == int(lengths[0])
    torch.testing.assert_close(found, whole, atol=1e-4, rtol=1e-4)


def test_frontends_that_hear_an_utterance_at_once():
    for frontend in (
        WhisperMelFrontend(),
        WhisperMelFrontend(pad_to_30s=False),
        LogMelFrontend(even_level=True),
        MelPitchFrontend(),
    ):
        with pytest.raises(ValueError, match="hears an utterance at once"):
            FeatureStream(frontend)
    stream = FeatureStream(FRONTENDS["default"]())
    assert stream.push(torch.zeros(1, 0), last=True).shape == (1, 0, 20)
