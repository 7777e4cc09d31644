"""The recipe's small parts on a pretended GPU: the CPU's results."""

import copy

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
from pretend_gpu import DEVICE, pretend_gpu
from tiny_asr import save_asr

from espnet2_taste.bin.align import main as align
from espnet2_taste.io.model_folder import save_model
from espnet2_taste.speaker.xvector import XVector, XVectorSpeakerEncoder
from espnet2_taste.units import world
from espnet2_taste.units.world_vq import WorldVQ, WorldVQUnitExtractor
from espnet2_taste.vocoder.griffin_lim import GriffinLimVocoder
from espnet2_taste.vocoder.world_vq import WorldVQVocoder

UNITS = dict(num_units=16, num_ceps=8, spk_embed_dim=4, hidden_size=16, code_dim=8)
XVECTOR = dict(embed_dim=6, hidden_size=8, num_mels=20)


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


def test_units_and_vocoder(tmp_path):
    on_cpu = WorldVQ(**UNITS).eval()
    units = [torch.tensor([1, 4, 2]), torch.tensor([5])]
    speakers = torch.randn(2, 4)
    features = [np.ones((2 * n, world.NUM_PITCH + 8), "f") for n in (3, 5)]
    with pretend_gpu():
        on_gpu = copy.deepcopy(on_cpu).to(DEVICE)
        encoded = WorldVQUnitExtractor(on_gpu).encode_features(features)
        waves = WorldVQVocoder(on_gpu)(units, speakers)
        save_model(tmp_path, on_gpu, {"model_conf": UNITS})
    for found, wanted in (
        (encoded, WorldVQUnitExtractor(on_cpu).encode_features(features)),
        (waves, WorldVQVocoder(on_cpu)(units, speakers)),
    ):
        assert all(map(torch.equal, found, wanted))
    saved = torch.load(tmp_path / "model.pth", weights_only=True)
    assert all(value.device.type == "cpu" for value in saved.values())


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


def test_speaker_encoder(plain_frames):
    on_cpu = XVector(**XVECTOR).eval()
    wavs = [torch.randn(5000), torch.randn(9000)]
    with pretend_gpu():
        on_gpu = copy.deepcopy(on_cpu).to(DEVICE)
        found = XVectorSpeakerEncoder(on_gpu)(wavs)
    assert torch.equal(found, XVectorSpeakerEncoder(on_cpu)(wavs))


def test_alignment(corpus, tmp_path):
    asr = save_asr(tmp_path / "asr")
    options = ["--asr_config", f"{asr}/config.yaml", "--data_dir", str(corpus)]
    options += ["--asr_model", f"{asr}/valid.loss.best.pth"]
    align([*options, "--output_dir", f"{tmp_path}/cpu"])
    with pretend_gpu() as trace:
        align([*options, "--output_dir", f"{tmp_path}/gpu", "--device", DEVICE])
        assert any("ctc_aligner" in place for _, place in trace.uploads)
    for name in ("borders.ark", "prosody.ark", "words.ctm"):
        found = [(tmp_path / side / name).read_bytes() for side in ("cpu", "gpu")]
        assert found[0] == found[1]
