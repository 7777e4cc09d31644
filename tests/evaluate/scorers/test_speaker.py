import numpy as np
import pytest
import torch
from voices import RATE, voice

from espnet2_taste.asr.recording import Recording, Unavailable
from espnet2_taste.evaluate.scorers import meter_choices, speaker
from espnet2_taste.evaluate.scorers.speaker import SpeakerScorer
from espnet2_taste.io.model_folder import save_model
from espnet2_taste.speaker import load_speaker_encoder
from espnet2_taste.speaker.xvector import XVector


class Stub:
    """Embeds a recording by the first two samples; counts what it embedded."""

    sample_rate = RATE

    def __init__(self):
        self.sizes = []

    def __call__(self, wavs):
        self.sizes.append(len(wavs))
        return torch.stack([wav[:2] for wav in wavs])


@pytest.fixture
def stub(monkeypatch, tmp_path):
    encoder = Stub()
    monkeypatch.setattr(speaker, "load_speaker_encoder", lambda *a, **k: encoder)
    return encoder, SpeakerScorer(model=str(tmp_path))


@pytest.fixture(scope="module")
def xvector(tmp_path_factory):
    """A tiny random x-vector."""
    torch.manual_seed(0)
    conf = dict(embed_dim=8, hidden_size=16, num_mels=20)
    folder = tmp_path_factory.mktemp("speaker")
    save_model(folder, XVector(**conf).eval(), {"model_conf": conf})
    return str(folder)


def pointing(x, y):
    wav = np.full(RATE, 0.1)
    wav[:2] = x, y
    return wav


def test_cosines_by_hand(stub, record):
    encoder, meter = stub
    reference = record(pointing(0.3, 0.4), "reference")
    others = [(0.4, -0.3, 0.0), (-0.6, -0.8, -1.0), (0.5, 0.0, 0.6), (0.3, 0.4, 1.0)]
    recordings = [
        Recording(str(i), record(pointing(x, y), str(i)), (), reference, i < 2)
        for i, (x, y, _) in enumerate(others)
    ]
    found = [m["speaker_similarity"] for m in meter(recordings)]
    expected = [[pytest.approx(cosine, abs=1e-6), 1.0] for *_, cosine in others]
    assert found == expected  # also where the words differ
    meter(recordings)
    assert encoder.sizes == [1, 4, 4]  # the reference once


def test_batches_of_an_xvector_equal_single_recordings(xvector, record):
    entries = [record(voice(120.0 + 40 * i, 0.5 + i / 4), str(i)) for i in range(3)]
    recordings = [Recording(e, e, (), entries[0]) for e in entries]
    together = [
        m["speaker_similarity"][0] for m in SpeakerScorer(model=xvector)(recordings)
    ]
    alone = [
        SpeakerScorer(model=xvector)([r])[0]["speaker_similarity"][0]
        for r in recordings
    ]
    assert together == pytest.approx(alone, abs=1e-6)
    assert together[0] == pytest.approx(1)
    import soundfile

    encoder = load_speaker_encoder("xvector", xvector)
    a, b = (
        encoder([torch.from_numpy(soundfile.read(e, dtype="float32")[0])])[0].numpy()
        for e in entries[:2]
    )
    direct = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert together[1] == pytest.approx(direct, abs=1e-5) and direct < 0.9999


def test_other_rates_are_the_encoders(stub, record):
    encoder, meter = stub
    encoder.sample_rate, lengths = RATE // 2, []
    encoder.__class__ = type(
        "Half",
        (Stub,),
        {"__call__": lambda s, w: lengths.append(len(w[0])) or torch.ones(len(w), 2)},
    )
    entry = record(voice(200.0))
    meter([Recording("u", entry, (), entry)])
    assert lengths == [RATE // 2] * 2


def test_identity_names_the_encoder(xvector, tmp_path):
    meter = SpeakerScorer("xvector", xvector)
    assert meter.identity.startswith("xvector speaker") and "/" not in meter.identity


def test_unavailable(tmp_path, record):
    with pytest.raises(Unavailable, match=r"xvector\|campplus\|espnet_spk"):
        SpeakerScorer()
    with pytest.raises(Unavailable, match="nowhere does not exist"):
        SpeakerScorer("campplus", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="choose from xvector"):
        SpeakerScorer("ecapa", str(tmp_path))
    entry = record(voice(200.0))
    with pytest.raises(Unavailable, match="speaker encoder xvector: .*speaker_train"):
        SpeakerScorer("xvector", str(tmp_path))([Recording("u", entry, (), entry)])


def test_bad_recordings(xvector, refuses):
    refuses(meter_choices.get_class("speaker")(type="xvector", model=xvector))
