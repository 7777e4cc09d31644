import math

import pytest
import torch
from espnet2.asr.frontend.default import DefaultFrontend

from espnet2_taste.asr.mel_pitch import MelPitchFrontend
from espnet2_taste.asr.pitch import PitchExtractor
from espnet2_taste.taste.tokenizer.whisper_mel import WhisperMelFrontend

FS = 16000


def noise(seconds: float, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(1, int(seconds * FS), generator=generator)


def pulses(f0: float, seconds: float = 0.5) -> torch.Tensor:
    phase = (f0 * torch.arange(int(seconds * FS)) / FS) % 1
    return (phase < phase.roll(1)).float()


def harmonics(f0: float, seconds: float = 0.5) -> torch.Tensor:
    """A voice whose second harmonic is the loudest, which tempts octave errors."""
    t = torch.arange(int(seconds * FS)) / FS
    gains = {1: 1.0, 2: 1.5, 3: 0.5, 4: 0.4, 5: 0.2}
    return sum(g * torch.sin(2 * math.pi * f0 * k * t) for k, g in gains.items())


@pytest.mark.parametrize("pad_to_30s", [True, False])
def test_whisper_mel_batch_is_single(pad_to_30s):
    frontend = WhisperMelFrontend(n_mels=80, pad_to_30s=pad_to_30s)
    assert frontend.output_size() == 80
    assert not frontend.state_dict()
    long, short = noise(0.31), 3 * noise(0.2, seed=1)
    batch = torch.full((2, long.size(1)), 9.0)  # garbage in the padding
    batch[0], batch[1, : short.size(1)] = long[0], short[0]
    lengths = torch.tensor([long.size(1), short.size(1)])
    feats, feats_lengths = frontend(batch, lengths)
    assert feats_lengths.tolist() == [31, 20]
    assert feats.shape == (2, 3000 if pad_to_30s else 31, 80)
    for item, wav in enumerate((long, short)):
        alone, _ = frontend(wav, lengths[item : item + 1])
        frames = alone.size(1)
        torch.testing.assert_close(feats[item, :frames], alone[0])
    if not pad_to_30s:
        assert (feats[1, 20:] == 0).all()


def test_whisper_mel_limits():
    frontend = WhisperMelFrontend()
    wav = torch.zeros(1, 31 * FS)
    with pytest.raises(ValueError, match=r"31\.0 s of audio, over the limit of 30 s"):
        frontend(wav, torch.tensor([wav.size(1)]))
    feats, lengths = WhisperMelFrontend(pad_to_30s=False)(
        wav[:, :100], torch.tensor([100])
    )
    assert feats.shape == (1, 1, 80) and lengths.tolist() == [1]
    with pytest.raises(ValueError, match="fs must be 16000"):
        WhisperMelFrontend(fs=8000)


@pytest.mark.parametrize("f0", [65.0, 90.0, 123.0, 180.0, 247.0, 330.0, 410.0])
@pytest.mark.parametrize("signal", [pulses, harmonics])
def test_pitch_of_known_signals(f0, signal):
    wav = torch.nn.functional.pad(signal(f0), (1600, 1600))[None]
    pitch, voicing = PitchExtractor()(wav, torch.tensor([wav.size(1)]), 71)
    inside = slice(14, 57)
    assert (voicing[0, inside] > 0.9).all()
    assert ((pitch[0, inside] / f0 - 1).abs() < 0.02).all()
    assert (voicing[0, :5] < 0.1).all() and (voicing[0, -5:] < 0.1).all()


def test_pitch_follows_a_glide():
    f0 = torch.linspace(110, 220, FS)
    wav = torch.sin(2 * math.pi * torch.cumsum(f0 / FS, 0))[None]
    pitch, _ = PitchExtractor()(wav, torch.tensor([FS]), 101)
    want = f0[torch.arange(5, 96) * 160]
    assert ((pitch[0, 5:96] / want - 1).abs() < 0.02).all()


def test_silence_and_noise_are_unvoiced():
    wav = torch.cat((noise(1.0), torch.zeros(1, FS), 1e-4 * noise(1.0)))
    pitch, voicing = PitchExtractor()(wav, torch.full((3,), FS), 101)
    assert pitch.isfinite().all() and voicing.isfinite().all()
    assert (voicing > 0.5).float().mean(dim=1).max() < 0.05


def test_pitch_batch_is_single():
    wavs = torch.stack((harmonics(140.0), pulses(200.0)))
    wavs[1, 6000:] = 5.0  # garbage in the padding
    lengths = torch.tensor([8000, 6000])
    extractor = PitchExtractor(hop_length=128)
    pitch, voicing = extractor(wavs, lengths, 63)
    alone, voiced = extractor(wavs[1:, :6000], lengths[1:], 47)
    torch.testing.assert_close(voicing[1:, :47], voiced, atol=1e-4, rtol=0)
    clear = voiced > 0.5
    assert clear.sum() > 30
    torch.testing.assert_close(pitch[1:, :47][clear], alone[clear])


@pytest.mark.parametrize(
    "conf",
    [
        {},
        {"n_fft": 400, "hop_length": 160, "n_mels": 40, "fmax": 7600},
        {"fs": "16k", "center": False},
    ],
)
def test_mel_pitch_starts_with_the_default_frontend(conf):
    frontend, default = MelPitchFrontend(**conf), DefaultFrontend(**conf)
    assert frontend.output_size() == default.output_size() + 2
    wav = torch.cat((noise(0.5), harmonics(150.0)[None]))
    lengths = torch.tensor([8000, 6400])
    feats, feats_lengths = frontend(wav, lengths)
    for item, length in enumerate(lengths.tolist()):  # in a batch ESPnet errs
        mel, frames = default(wav[item : item + 1, :length], lengths[item : item + 1])
        assert frames == feats_lengths[item]
        torch.testing.assert_close(feats[item, : int(frames), :-2], mel[0])
    assert (feats[0, :, -1] < 0.5).all() and (feats[1, 3:20, -1] > 0.9).all()
    assert (feats[1, feats_lengths[1] :] == 0).all()
    centre, spread = math.log(60 * 420) / 2, math.log(420 / 60) / 4
    want = torch.tensor((math.log(150) - centre) / spread)
    got = feats[1, 3:20, -2]
    torch.testing.assert_close(got, want.expand_as(got), atol=0.05, rtol=0)


def test_pitch_range_errors():
    with pytest.raises(ValueError, match="shorter than two periods"):
        PitchExtractor(window_ms=20)
    with pytest.raises(ValueError, match="f0_min < f0_max"):
        PitchExtractor(f0_min=500)
