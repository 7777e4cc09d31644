import numpy as np
import torch

from espnet2_taste.io.model_folder import save_model
from espnet2_taste.speaker import load_speaker_encoder
from espnet2_taste.speaker.average import speaker_means
from espnet2_taste.speaker.espnet_model import SpeakerModel
from espnet2_taste.speaker.xvector import SpeakerClassifier, XVector

TINY = dict(embed_dim=8, hidden_size=16, num_mels=20)


def voice(rng, speaker, samples=8000):
    """Noise whose changing colour tells the speaker."""
    noise = rng.normal(size=samples) * (1 + np.sin(np.arange(samples) / 400))
    kernel = [1, 0.95] if speaker == "a" else [1, -0.95]
    return (0.05 * np.convolve(noise, kernel)[:samples]).astype(np.float32)


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


def test_speaker_means():
    embeddings = [("a", [1, 0]), ("a", [0, 1]), ("b", [0, -2])]
    means = speaker_means((name, np.array(v, "f")) for name, v in embeddings)
    np.testing.assert_allclose(means["a"], [0.5**0.5, 0.5**0.5], rtol=1e-6)
    np.testing.assert_allclose(means["b"], [0, -1])


def test_training_tells_speakers_apart():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = SpeakerModel(2, **TINY)
    speech = np.stack([voice(rng, speaker) for speaker in "abab"])
    batch = {
        "speech": torch.from_numpy(speech),
        "speech_lengths": torch.full((4,), speech.shape[1]),
        "speaker": torch.tensor([[0], [1], [0], [1]]),
    }
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(80):
        optimizer.zero_grad()
        loss, stats, weight = model(**batch)
        loss.backward()
        optimizer.step()
    assert loss < 1 and weight == 4
