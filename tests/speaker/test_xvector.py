import numpy as np
import pytest
import soundfile
import torch

from espnet2_taste.io.model_folder import save_model
from espnet2_taste.speaker import load_speaker_encoder
from espnet2_taste.speaker.training import speaker_means, train_xvector
from espnet2_taste.speaker.xvector import SpeakerClassifier, XVector

TINY = dict(embed_dim=8, hidden_size=16, num_mels=20)


def voice(rng, speaker, samples=8000):
    """Noise whose changing colour tells the speaker."""
    noise = rng.normal(size=samples) * (1 + np.sin(np.arange(samples) / 400))
    kernel = [1, 0.95] if speaker == "a" else [1, -0.95]
    return (0.05 * np.convolve(noise, kernel)[:samples]).astype(np.float32)


@pytest.fixture
def data_dir(tmp_path):
    rng = np.random.default_rng(0)
    wav_scp, utt2spk = [], []
    for speaker in "ab":
        for i in range(4):
            key = f"{speaker}{i}"
            path = tmp_path / f"{key}.wav"
            soundfile.write(path, voice(rng, speaker), 16000, "PCM_16")
            wav_scp.append(f"{key} {path}\n")
            utt2spk.append(f"{key} {speaker}\n")
    (tmp_path / "wav.scp").write_text("".join(wav_scp))
    (tmp_path / "utt2spk").write_text("".join(utt2spk))
    return tmp_path


def train(data_dir, steps=3, **kwargs):
    return train_xvector(data_dir, TINY, steps, batch_size=4, crop_s=0.4, **kwargs)


def test_training_is_deterministic_and_reads_past_bad_files(data_dir, caplog):
    (data_dir / "a0.wav").write_bytes(b"no audio")
    first, second = train(data_dir).state_dict(), train(data_dir).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    train(data_dir, steps=10)
    assert "skipped a0" in caplog.text


def test_encoder_round_trip_batch_equals_single(tmp_path):
    save_model(tmp_path, XVector(**TINY), {"model_conf": TINY})
    encoder = load_speaker_encoder("xvector", str(tmp_path))
    assert (encoder.embed_dim, encoder.sample_rate) == (8, 16000)
    rng = np.random.default_rng(0)
    wavs = [torch.from_numpy(voice(rng, "a", n)) for n in (9000, 300, 1, 20000)]
    together = encoder(wavs)
    assert together.shape == (4, 8)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together.norm(dim=1), torch.ones(4))
    for wav, row in zip(wavs, together, strict=True):
        torch.testing.assert_close(encoder([wav])[0], row, rtol=1e-4, atol=1e-4)


def test_classifier_margin_makes_it_harder():
    torch.manual_seed(0)
    plain, strict = (SpeakerClassifier(3, 8, margin=m) for m in (0.0, 0.3))
    strict.load_state_dict(plain.state_dict())
    embeddings = torch.nn.functional.normalize(torch.randn(5, 8), dim=-1)
    speakers = torch.tensor([0, 1, 2, 0, 1])
    assert strict(embeddings, speakers)[0] > plain(embeddings, speakers)[0]


def test_one_speaker_or_none_is_an_error(data_dir):
    keys = [f"{s}{i}" for s in "ab" for i in range(4)]
    (data_dir / "utt2spk").write_text("".join(f"{key} x\n" for key in keys))
    with pytest.raises(ValueError, match=r"1 speaker\(s\)"):
        train(data_dir)
    (data_dir / "utt2spk").write_text("a0 x\n")
    with pytest.raises(ValueError, match="a1 of wav.scp is missing"):
        train(data_dir)


def test_nothing_readable_is_an_error(data_dir):
    for path in data_dir.glob("*.wav"):
        path.unlink()
    with pytest.raises(RuntimeError, match="no readable audio"):
        train(data_dir)


def test_speaker_means():
    embeddings = {
        "u1": np.array([1, 0], "f"),
        "u2": np.array([0, 1], "f"),
        "u3": np.array([0, -2], "f"),
    }
    means = speaker_means(embeddings, {"u1": "a", "u2": "a", "u3": "b"})
    np.testing.assert_allclose(means["a"], [0.5**0.5, 0.5**0.5], rtol=1e-6)
    np.testing.assert_allclose(means["b"], [0, -1])
    with pytest.raises(ValueError, match="u3 has an embedding but no speaker"):
        speaker_means(embeddings, {"u1": "a", "u2": "a"})
