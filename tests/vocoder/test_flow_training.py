"""The flow's training: target mel, ESPnet model, task."""

from argparse import Namespace
from pathlib import Path

import kaldiio
import librosa
import numpy as np
import pytest
import torch
import yaml
from tiny_vocoder import TINY, tiny_voice_generator

from espnet2_taste.io.checkpoint import load_state
from espnet2_taste.tasks.vocoder import VocoderPreprocessor, VocoderTask
from espnet2_taste.units.unit_spec import UnitSpec
from espnet2_taste.vocoder import load_vocoder
from espnet2_taste.vocoder.cosyvoice import checkpoint
from espnet2_taste.vocoder.cosyvoice.espnet_model import FlowModel
from espnet2_taste.vocoder.cosyvoice.generator import VoiceGenerator
from espnet2_taste.vocoder.cosyvoice.mel import TargetMel
from espnet2_taste.vocoder.cosyvoice.mel_spec import MelSpec
from espnet2_taste.vocoder.cosyvoice.vocoder import CosyVoiceVocoder

#: CosyVoice 2's
TOY = MelSpec(24000, n_fft=1920, hop=480, win=1920)
CONF = Path(__file__).parents[2] / "conf" / "train_vocoder.yaml"


def noise(batch, samples):
    torch.manual_seed(0)
    return 0.1 * torch.randn(batch, samples)


def test_mel_is_the_specified_one():
    wav = noise(1, 5000)[0]
    padded = np.pad(wav.numpy(), 384, mode="reflect").astype(np.float64)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    starts = range(0, len(padded) - 1023, 256)
    frames = np.stack([padded[i : i + 1024] * window for i in starts])
    magnitude = np.sqrt(np.abs(np.fft.rfft(frames)) ** 2 + 1e-9)
    filters = librosa.filters.mel(sr=22050, n_fft=1024, n_mels=80, fmin=0, fmax=8000)
    expected = np.log(np.maximum(magnitude @ filters.T, 1e-5)).T
    mel, lengths = TargetMel()(wav[None], torch.tensor([5000]))
    assert lengths.tolist() == [5000 // 256] == [expected.shape[1]]
    np.testing.assert_allclose(mel[0], expected, atol=1e-4)
    silence = TargetMel()(torch.zeros(1, 1000), torch.tensor([1000]))[0]
    # sqrt(1e-9) in every bin, through filters of various areas
    assert silence.min() >= np.log(np.float32(1e-5)) and silence.std() > 0


@pytest.mark.parametrize("spec", [MelSpec(), TOY])
def test_mel_of_a_batch_is_that_of_its_items(spec):
    front, lengths = TargetMel(spec), torch.tensor([5000, 3111, 1000])
    wavs = noise(3, 5000) * (torch.arange(5000) < lengths[:, None])
    mel, frames = front(wavs, lengths)
    for i, n in enumerate(lengths):
        alone, (size,) = front(wavs[i : i + 1, :n], lengths[i : i + 1])
        assert size == frames[i] == alone.size(2)
        torch.testing.assert_close(mel[i, :, :size], alone[0], atol=1e-4, rtol=1e-4)
        assert not mel[i, :, size:].any()


def test_speech_too_short_for_a_mel():
    with pytest.raises(ValueError, match="255 samples at 22050 Hz are too short"):
        TargetMel()(noise(1, 255), torch.tensor([255]))


def make_batch(seconds=0.3):
    samples = int(22050 * seconds)
    return {
        "speech": noise(2, samples),
        "speech_lengths": torch.tensor([samples, samples // 2]),
        "units": torch.randint(0, 24, (2, int(50 * seconds))),
        "units_lengths": torch.tensor([int(50 * seconds), int(25 * seconds)]),
        "spk_emb": torch.randn(2, 6),
        "spk_emb_lengths": torch.tensor([6, 6]),
        "utt_id": ["a", "b"],
    }


def tiny_model(**conf):
    torch.manual_seed(0)
    return FlowModel(TINY["flow_conf"], **conf)


def test_it_learns():
    model, batch = tiny_model(prompt_rate=0.5), make_batch()
    before = model.eval()(**batch)[0]
    assert torch.equal(before, model(**batch)[0])  # validation draws do not change
    optimizer = torch.optim.Adam(model.train().parameters(), 3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        loss, stats, weight = model(**batch)
        loss.backward()
        optimizer.step()
    assert stats.keys() == {"loss"} and weight == 2
    assert model.eval()(**batch)[0] < 0.7 * before


def test_24_khz_and_25_units_a_second_are_other_numbers():
    """CosyVoice 2's rates, from configuration alone, in training and speech."""
    mel = vars(TOY)
    flow = TINY["flow_conf"] | {"unit_rate": 25.0, "mel_spec": mel}
    hift = TINY["hift_conf"] | {
        "mel_spec": mel,
        "upsample_rates": [8, 5, 3],
        "upsample_kernels": [16, 11, 7],
        "source_kernels": [7, 7, 11],
    }
    torch.manual_seed(0)
    model = FlowModel(flow)
    assert FlowModel.rates(flow) == (24000, 25.0)
    batch = make_batch() | {
        "speech": noise(2, 9600),
        "speech_lengths": torch.tensor([9600, 4800]),
        "units": torch.randint(0, 24, (2, 10)),
        "units_lengths": torch.tensor([10, 5]),
    }
    assert torch.isfinite(model(**batch)[0])
    vocoder = CosyVoiceVocoder(VoiceGenerator(flow, hift))
    assert vocoder.sample_rate == 24000 and vocoder.unit_spec == UnitSpec(24, 25.0)
    units, speakers = [torch.arange(9), torch.arange(4)], torch.randn(2, 6)
    wavs = vocoder(units, speakers)
    assert [len(wav) for wav in wavs] == [9 * 960, 4 * 960]
    alone = vocoder(units[1:], speakers[1:])[0]
    torch.testing.assert_close(wavs[1], alone, atol=1e-4, rtol=1e-3)


OTHER_MELS = {
    "sample_rate": ({"sample_rate": 24000}, "sample_rate 22050 and 24000"),
    "fmax": ({"fmax": 11025.0}, "fmax 8000.0 and 11025.0"),
    "hop": ({"hop": 480}, "make 256 samples a frame, not 480"),
}


@pytest.mark.parametrize("other", OTHER_MELS)
def test_flow_and_hift_of_other_mels(other):
    spec, words = OTHER_MELS[other]
    hift = TINY["hift_conf"] | {"mel_spec": spec}
    with pytest.raises(ValueError, match=words):
        VoiceGenerator(TINY["flow_conf"], hift)


def test_prompts_are_starts_of_the_mel():
    model, frames = tiny_model(prompt_rate=0.5), torch.full((400,), 40)
    frames[1::2] = 20
    cond = model._prompt(torch.ones(400, 80, 40), frames, None)[:, 0]
    size = cond.sum(1)
    assert torch.equal(cond, (torch.arange(40) < size[:, None]).float())
    assert 0.35 < (size > 0).float().mean() < 0.55
    assert size[::2].max() == 11 and size[1::2].max() == 5  # floor of less than 30 %
    assert not tiny_model()._prompt(torch.ones(2, 80, 9), frames[:2], None).any()


def test_bad_arguments():
    with pytest.raises(ValueError, match="parts of 1"):
        tiny_model(prompt_rate=1.5)


@pytest.mark.parametrize(
    ("units", "samples", "message"),
    [
        (100, 16000, "utterance u1: 100 units for 1.00 s of speech.*50 a second"),
        (0, 16000, "utterance u1: shorter than one unit"),
        (1, 100, "utterance u1: shorter than one unit"),
    ],
)
def test_units_of_other_speech_are_refused(units, samples, message):
    data = {
        "speech": np.zeros(samples, dtype=np.float32),
        "units": np.zeros(units, dtype=np.int32),
        "spk_emb": np.zeros(6, dtype=np.float32),
    }
    with pytest.raises(ValueError, match=message):
        VocoderPreprocessor(16000, 50)("u1", data)


OTHERS = {
    "num_units": (UnitSpec(25, 50.0), 6, "units.scp .*: 25 units instead of 24"),
    "unit_rate": (UnitSpec(24, 25.0), 6, "units.scp .*: 25 units a second instead of"),
    "spk_embed_dim": (UnitSpec(24, 50.0), 7, "spk_emb.scp .* of 7 dimensions inst"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_data_of_another_kind_is_refused(tmp_path, other):
    spec, width, words = OTHERS[other]
    (tmp_path / UnitSpec.FILE).write_text(spec.text())
    speakers = {"u": np.zeros(width, np.float32)}
    kaldiio.save_ark(f"{tmp_path}/s.ark", speakers, scp=f"{tmp_path}/spk_emb.scp")
    data = [(f"{tmp_path}/{n}.scp", n, "kaldi_ark") for n in ("units", "spk_emb")]
    args = Namespace(
        vocoder="cosyvoice_flow",
        vocoder_conf={"flow_conf": TINY["flow_conf"]},
        train_data_path_and_name_and_type=data,
        valid_data_path_and_name_and_type=data,
    )
    with pytest.raises(ValueError, match=words):
        VocoderTask.build_model(args)


def test_published_configuration():
    conf = yaml.safe_load(CONF.read_text())["vocoder_conf"]
    with torch.device("meta"):
        model = FlowModel(**conf)
    sizes = [p.numel() for p in model.parameters()]
    assert sum(sizes) == 104_874_752
    assert all(k.startswith("flow.") for k in model.state_dict())


def test_training_makes_a_vocoder(tiny_data, tmp_path):
    """Two epochs from a given flow; then the best checkpoint speaks, with a HiFT."""
    from espnet2_taste.bin.vocoder_train import main

    generator = tiny_voice_generator()
    torch.save(generator.state_dict(), tmp_path / "voice_generator.pth")
    # tiny_data has a unit every 640 samples of 16 kHz
    flow_conf = TINY["flow_conf"] | {"unit_rate": 25.0}
    conf = yaml.safe_load(CONF.read_text()) | {
        "vocoder_conf": {"flow_conf": flow_conf, "prompt_rate": 0.5},
        "init_param": [f"{tmp_path}/voice_generator.pth:flow:flow"],
        "batch_bins": 40000,
        "max_epoch": 2,
        "scheduler_conf": {"warmup_steps": 10},
        "num_workers": 0,
        "use_tensorboard": False,
        "use_matplotlib": False,
    }
    width = flow_conf["spk_embed_dim"]
    embeddings = kaldiio.load_scp(str(tiny_data / "spk_emb.scp"))
    arks = f"ark,scp:{tmp_path}/spk.ark,{tmp_path}/spk_emb.scp"
    with kaldiio.WriteHelper(arks) as writer:
        for key in embeddings:
            writer[key] = embeddings[key][:width]
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(conf))
    cmd = ["--config", f"{tmp_path}/train.yaml", "--output_dir", f"{tmp_path}/exp"]
    specs = (
        f"{tiny_data}/wav.scp,speech,sound",
        f"{tiny_data}/units.scp,units,kaldi_ark",
        f"{tmp_path}/spk_emb.scp,spk_emb,kaldi_ark",
    )
    for part in ("train", "valid"):
        for spec in specs:
            cmd += [f"--{part}_data_path_and_name_and_type", spec]
        cmd += [f"--{part}_shape_file", f"{tiny_data}/utt2num_samples"]
    main(cmd)

    vocoder = load_vocoder(
        "cosyvoice", tmp_path / "exp", hift=tmp_path / "voice_generator.pth"
    )
    state = vocoder.model.state_dict()
    trained = load_state(tmp_path / "exp" / "valid.loss.best.pth")
    assert all(torch.equal(state[k], trained[k]) for k in trained)
    assert len(trained) == sum(k.startswith("flow.") for k in state)
    start = generator.state_dict()
    changed = {k for k in state if not torch.equal(state[k], start[k])}
    assert changed == set(trained)  # all of the flow, nothing of HiFT
    wavs = vocoder([torch.arange(10), torch.arange(5)], torch.randn(2, width))
    assert [len(w) for w in wavs] == [34 * 256, 17 * 256]
    assert all(torch.isfinite(w).all() for w in wavs)
    # the file alone finds the configuration beside it
    state, found = checkpoint.read(tmp_path / "exp" / "2epoch.pth")
    assert found["flow_conf"] == flow_conf and state.keys() == trained.keys()
