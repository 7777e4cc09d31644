"""What the recipe trains without ESPnet, on a pretended GPU: the CPU's results."""

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
from pretend_gpu import DEVICE, pretend_gpu
from tiny_asr import save_asr

from espnet2_taste.bin.align import main as align
from espnet2_taste.io.model_folder import save_model
from espnet2_taste.speaker.training import train_xvector
from espnet2_taste.speaker.xvector import XVector, XVectorSpeakerEncoder
from espnet2_taste.units import world
from espnet2_taste.units.training import train_world_vq
from espnet2_taste.units.world_vq import WorldVQUnitExtractor
from espnet2_taste.vocoder.griffin_lim import GriffinLimVocoder
from espnet2_taste.vocoder.world_vq import WorldVQVocoder

UNITS = dict(num_units=16, num_ceps=8, spk_embed_dim=4, hidden_size=16, code_dim=8)
XVECTOR = dict(embed_dim=6, hidden_size=8, num_mels=20)


def assert_same_state(on_cpu: torch.nn.Module, on_gpu: torch.nn.Module) -> None:
    state = on_gpu.state_dict()
    assert all(torch.equal(v, state[k].cpu()) for k, v in on_cpu.state_dict().items())


def waits_of_training(train) -> list[int]:
    """Reads from the GPU by ``train(log_interval)`` that logs 1, 1 and 4 times."""
    found = []
    for log_interval in (99, 4, 1):
        with pretend_gpu() as trace:
            train(log_interval)
        waits = {k: n for k, n in trace.waits.items() if "training.py" in k[1]}
        found.append(sum(waits.values()))
    return found


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A data directory of two speakers."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    tables = {"wav.scp": "", "utt2spk": "", "text": "", "utt2num_samples": ""}
    units = {}
    for i in range(4):
        size = 16000 + 1600 * i
        soundfile.write(folder / f"{i}.wav", 0.1 * rng.normal(size=size), 16000)
        tables["wav.scp"] += f"utt{i} {folder}/{i}.wav\n"
        tables["utt2spk"] += f"utt{i} speaker{i % 2}\n"
        tables["text"] += f"utt{i} set the lamp\n"
        tables["utt2num_samples"] += f"utt{i} {size}\n"
        units[f"utt{i}"] = np.zeros(size // 640, np.int32)
    for name, text in tables.items():
        (folder / name).write_text(text)
    kaldiio.save_ark(f"{folder}/units.ark", units, f"{folder}/units.scp")
    return folder


def train_units(device: str, **options):
    rng = np.random.default_rng(0)
    sizes = {f"utt{i}": 10 + 6 * i for i in range(6)}
    features = {
        key: rng.normal(size=(n, world.NUM_PITCH + 8)).astype("f")
        for key, n in sizes.items()
    }
    speakers = {key: rng.normal(size=4).astype("f") for key in features}
    options = dict(max_steps=4, batch_size=8, crop_units=6, warmup_steps=2) | options
    return train_world_vq(features, speakers, UNITS, device=device, **options)


def test_units_and_vocoder(tmp_path):
    on_cpu = train_units("cpu")
    units = [torch.tensor([1, 4, 2]), torch.tensor([5])]
    speakers = torch.randn(2, 4)
    features = [np.ones((2 * n, world.NUM_PITCH + 8), "f") for n in (3, 5)]
    with pretend_gpu():
        on_gpu = train_units(DEVICE)
        encoded = WorldVQUnitExtractor(on_gpu).encode_features(features)
        waves = WorldVQVocoder(on_gpu)(units, speakers)
        save_model(tmp_path, on_gpu, {"model_conf": UNITS})
    assert_same_state(on_cpu, on_gpu)
    for found, wanted in (
        (encoded, WorldVQUnitExtractor(on_cpu).encode_features(features)),
        (waves, WorldVQVocoder(on_cpu)(units, speakers)),
    ):
        assert all(map(torch.equal, found, wanted))
    saved = torch.load(tmp_path / "model.pth", weights_only=True)
    assert all(value.device.type == "cpu" for value in saved.values())


def test_unit_training_waits_for_its_log_alone():
    once, again, four = waits_of_training(
        lambda log_interval: train_units(DEVICE, log_interval=log_interval)
    )
    assert once == again == four / 4 > 0


def test_griffin_lim():
    table = torch.randn(5, 4, 80, generator=torch.Generator().manual_seed(0))
    units = [torch.tensor([3, 1, 4]), torch.tensor([0, 0])]
    with pretend_gpu():
        found = GriffinLimVocoder(table.to(DEVICE))(units)
    assert all(map(torch.equal, found, GriffinLimVocoder(table)(units)))


@pytest.fixture
def plain_frames(monkeypatch):
    """Instead of a mel spectrogram, whose transform the pretended GPU lacks."""
    monkeypatch.setattr(
        XVector, "features", lambda _, wavs: wavs.unfold(1, XVECTOR["num_mels"], 160)
    )


def train_speaker(corpus, device: str, log_interval: int = 50) -> XVector:
    options = dict(max_steps=4, batch_size=3, crop_s=0.5, log_interval=log_interval)
    return train_xvector(corpus, XVECTOR, device=device, **options)


def test_speaker_encoder(corpus, plain_frames):
    on_cpu = train_speaker(corpus, "cpu")
    wavs = [torch.randn(5000), torch.randn(9000)]
    with pretend_gpu():
        on_gpu = train_speaker(corpus, DEVICE)
        found = XVectorSpeakerEncoder(on_gpu)(wavs)
    assert_same_state(on_cpu, on_gpu)
    assert torch.equal(found, XVectorSpeakerEncoder(on_cpu)(wavs))


def test_speaker_training_waits_for_its_log_alone(corpus, plain_frames, caplog):
    caplog.set_level("INFO")
    once, again, four = waits_of_training(
        lambda log_interval: train_speaker(corpus, DEVICE, log_interval)
    )
    assert once == again == four / 4 > 0


def test_alignment(corpus, tmp_path):
    asr = save_asr(tmp_path / "asr")
    options = ["--asr_config", f"{asr}/config.yaml", "--data_dir", str(corpus)]
    options += ["--asr_model", f"{asr}/valid.loss.best.pth"]
    align([*options, "--output_dir", f"{tmp_path}/cpu"])
    with pretend_gpu() as trace:
        align([*options, "--output_dir", f"{tmp_path}/gpu", "--device", DEVICE])
        assert any("ctc_aligner" in place for _, place in trace.uploads)
    for name in ("durations.ark", "prosody.ark", "words.ctm"):
        found = [(tmp_path / side / name).read_bytes() for side in ("cpu", "gpu")]
        assert found[0] == found[1]
