import numpy as np
import pytest
import torch

from espnet2_taste.io.model_folder import save_model
from espnet2_taste.units.world_vq import WorldVQ
from espnet2_taste.vocoder import load_vocoder, vocoder_choices
from espnet2_taste.vocoder.griffin_lim import GriffinLimVocoder

TINY = dict(num_units=16, num_ceps=8, spk_embed_dim=4, hidden_size=16, code_dim=8)
UNITS = [torch.tensor([1, 2, 3, 4, 15]), torch.zeros(0).long(), torch.tensor([7])]


@pytest.fixture
def world_vq(tmp_path):
    torch.manual_seed(0)
    model = WorldVQ(**TINY)
    model.quantizer.codebook.normal_()
    model.set_statistics(torch.tensor([5.0] * 4 + [-8.0] + [0.0] * 7), torch.ones(12))
    save_model(tmp_path, model, {"model_conf": TINY})
    return load_vocoder("world_vq", str(tmp_path))


@pytest.fixture
def griffin_lim(tmp_path):
    rng = np.random.default_rng(0)
    pairs = [
        (torch.arange(4), torch.from_numpy(0.1 * rng.normal(size=2500)).float()),
        (torch.zeros(0).long(), torch.zeros(0)),
    ]
    GriffinLimVocoder.fit(pairs, 16, 640).save(tmp_path)
    return load_vocoder("griffin_lim", str(tmp_path))


@pytest.mark.parametrize("name", ["world_vq", "griffin_lim"])
def test_lengths_range_and_batch_equals_single(name, request):
    vocoder = request.getfixturevalue(name)
    assert vocoder.sample_rate == 16000
    speakers = torch.randn(3, 4)
    wavs = vocoder(UNITS, speakers)
    assert [len(wav) for wav in wavs] == [3200, 0, 640]
    for i, wav in enumerate(wavs):
        assert wav.dtype == torch.float32
        assert torch.isfinite(wav).all()
        assert (wav.abs() <= 1).all()
        alone = vocoder(UNITS[i : i + 1], speakers[i : i + 1])[0]
        torch.testing.assert_close(alone, wav, rtol=1e-3, atol=1e-3)
    again = vocoder(UNITS, speakers)
    assert all(torch.equal(a, b) for a, b in zip(wavs, again, strict=True))


def test_world_vq_follows_the_speaker(world_vq):
    first, second = world_vq([UNITS[0]] * 2, torch.eye(4)[:2])
    assert not torch.equal(first, second)


def test_world_vq_without_speakers(tmp_path):
    conf = dict(TINY, spk_embed_dim=0)
    save_model(tmp_path, WorldVQ(**conf), {"model_conf": conf})
    wav = load_vocoder("world_vq", str(tmp_path))(UNITS[:1], torch.zeros(1, 7))[0]
    assert len(wav) == 3200


def test_world_vq_refuses_what_it_cannot_say(world_vq):
    with pytest.raises(ValueError, match=r"are \(3, 5\), the vocoder takes \(3, 4\)"):
        world_vq(UNITS, torch.zeros(3, 5))
    with pytest.raises(ValueError, match=r"units must lie in \[0, 16\)"):
        world_vq([torch.tensor([16])], torch.zeros(1, 4))


def test_griffin_lim_keeps_pitch_of_a_tone():
    t = torch.arange(32000) / 16000
    tone = 0.3 * torch.sin(2 * torch.pi * 500 * t)
    vocoder = GriffinLimVocoder.fit([(torch.zeros(50).long(), tone)], 2, 640)
    wav = vocoder([torch.zeros(25).long()])[0]
    assert wav.abs().mean() > 0.05
    peak = torch.fft.rfft(wav).abs().argmax() * 16000 / len(wav)
    assert float(peak) == pytest.approx(500, abs=30)


def test_griffin_lim_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="bin/fit_griffin_lim.py"):
        load_vocoder("griffin_lim", str(tmp_path))
    with pytest.raises(ValueError, match="no units"):
        GriffinLimVocoder.fit([], 4, 640)
    with pytest.raises(ValueError, match="multiple of 160"):
        GriffinLimVocoder.fit([], 4, 500)
    with pytest.raises(ValueError, match="hifi is no vocoder.*griffin_lim"):
        vocoder_choices.get_class("hifi")
