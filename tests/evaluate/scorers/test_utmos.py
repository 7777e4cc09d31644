import numpy as np
import pytest
import torch
from voices import RATE, voice

from espnet2_taste.asr.recording import Recording, Unavailable
from espnet2_taste.evaluate.scorers import meter_choices
from espnet2_taste.evaluate.scorers.utmos import CODE, WEIGHTS, UtmosScorer

HUBCONF = """
dependencies = ["torch"]
from speechmos.utmos22.strong.model import UTMOS22Strong

def utmos22_strong(progress=True, pretrained=True):
    if pretrained:
        raise OSError("would download")
    return UTMOS22Strong().eval()
"""
MODEL = """
import torch

class UTMOS22Strong(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.zeros(1))

    def forward(self, wave, sr):
        assert sr == 16000 and not self.training
        return 1 + self.scale * wave.abs().amax(1)
"""


class Peak(torch.nn.Module):
    """Rates (B, N) audio by its peak, as SpeechMOS is called."""

    def forward(self, wave: torch.Tensor, sr: int) -> torch.Tensor:
        return 1 + 4 * wave.abs().amax(1) * (sr / 16000)


class Convolved(torch.nn.Module):
    """A network that notices padding; takes audio alone."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv1d(1, 4, 32, 16)
        self.lstm = torch.nn.LSTM(4, 3, bidirectional=True, batch_first=True)

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        hidden = self.conv(wave.unsqueeze(1)).transpose(1, 2)
        return self.lstm(hidden)[0].mean(dim=[1, 2])


@pytest.fixture
def scripted(tmp_path):
    path = tmp_path / "peak.pt"
    torch.jit.script(Peak()).save(str(path))
    return str(path)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty folder of torch.hub; modules a checkout imports are forgotten."""
    import sys

    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder))
    for name in [n for n in sys.modules if n.split(".")[0] == "speechmos"]:
        monkeypatch.delitem(sys.modules, name)
    yield folder
    for name in [n for n in sys.modules if n.split(".")[0] == "speechmos"]:
        del sys.modules[name]


def checkout(folder, weights):
    """SpeechMOS' layout with a tiny network and its weights."""
    package = folder / "speechmos" / "utmos22" / "strong"
    package.mkdir(parents=True)
    for path in (package, *list(package.parents)[:2]):
        (path / "__init__.py").touch()
    (folder / "hubconf.py").write_text(HUBCONF)
    (package / "model.py").write_text(MODEL)
    weights.parent.mkdir(exist_ok=True)
    torch.save({"scale": torch.tensor([2.0])}, weights)


def test_a_scripted_model(scripted, record):
    wav = 0.5 * voice(200.0) / np.abs(voice(200.0)).max()
    meter = UtmosScorer(scripted)
    assert meter([Recording("u", record(wav))]) == [
        {"utmos": [pytest.approx(1 + 4 * 0.5), 1.0]}
    ]
    assert "peak.pt (" in meter.identity and "/" not in meter.identity


def test_batches_equal_single_recordings(tmp_path, record):
    torch.manual_seed(0)
    path = tmp_path / "net.pt"
    torch.jit.script(Convolved()).save(str(path))
    meter = UtmosScorer(str(path))
    entries = [
        record(voice(150.0 + 9 * i, s), str(i)) for i, s in enumerate((1, 1, 2, 1))
    ]
    recordings = [Recording(f"u{i}", entry) for i, entry in enumerate(entries)]
    alone = [meter([r])[0]["utmos"][0] for r in recordings]
    assert [m["utmos"][0] for m in meter(recordings)] == pytest.approx(alone, abs=1e-6)
    assert len({round(a, 6) for a in alone}) == 4


@pytest.mark.parametrize("inside", [True, False])
def test_a_checkout_and_its_weights(tmp_path, hub, record, inside):
    folder = tmp_path / "SpeechMOS"
    checkout(folder, (folder if inside else hub / "checkpoints") / WEIGHTS)
    wav = np.full(RATE, 0.25)
    meter = UtmosScorer(str(folder))
    assert meter([Recording("u", record(wav))])[0]["utmos"] == [1.5, 1.0]
    assert WEIGHTS in meter.identity


def test_what_torch_hub_has(hub, record):
    with pytest.raises(Unavailable, match=f"{CODE}.*torch.hub.load"):
        UtmosScorer()
    checkout(hub / CODE, hub / "checkpoints" / WEIGHTS)
    found = UtmosScorer()([Recording("u", record(np.full(RATE, 0.25)))])
    assert found[0]["utmos"] == [1.5, 1.0]
    (hub / "checkpoints" / WEIGHTS).unlink()
    with pytest.raises(Unavailable, match=WEIGHTS):
        UtmosScorer()


def test_what_bin_download_has_put_with_the_models(hub, record, tmp_path, monkeypatch):
    monkeypatch.setenv("TASTE_MODELS", str(tmp_path))
    folder = tmp_path / "torch_hub"
    checkout(folder / CODE, folder / "checkpoints" / WEIGHTS)
    assert UtmosScorer().weights == folder / "checkpoints" / WEIGHTS


def test_weights_that_are_none(tmp_path, hub, record):
    folder = tmp_path / "SpeechMOS"
    checkout(folder, folder / WEIGHTS)
    (folder / WEIGHTS).write_bytes(b"no checkpoint")
    with pytest.raises(Unavailable, match="not a plain checkpoint"):
        UtmosScorer(str(folder))([Recording("u", record(voice(200.0)))])
    file = tmp_path / "file.pt"
    file.write_bytes(b"no script")
    with pytest.raises(Unavailable, match="file.pt"):
        UtmosScorer(str(file))([Recording("u", record(voice(200.0)))])


def test_bad_recordings(scripted, refuses):
    refuses(meter_choices.get_class("utmos")(model=scripted))
