"""ESPnet's speaker task takes a quarter of a minute to import: one model for all."""

import pytest
import torch
import yaml

from espnet2_taste.speaker import load_speaker_encoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random ECAPA-TDNN, saved as ESPnet's training saves it."""
    from espnet2.bin.spk_train import get_parser
    from espnet2.tasks.spk import SpeakerTask

    folder = tmp_path_factory.mktemp("spk")
    config = {
        "output_dir": str(folder),
        "frontend": "melspec_torch",
        "frontend_conf": {"n_mels": 20, "preemp": True},
        "encoder": "ecapa_tdnn",
        "encoder_conf": {"model_scale": 2, "ndim": 16, "output_size": 24},
        "pooling": "chn_attn_stat",
        "projector": "rawnet3",
        "projector_conf": {"output_size": 10},
        "loss": "aamsoftmax",
        "loss_conf": {"margin": 0.3, "scale": 30},
        "spk_num": 3,
        "model_conf": {},
    }
    (folder / "train.yaml").write_text(yaml.safe_dump(config))
    args = get_parser().parse_args(["--config", str(folder / "train.yaml")])
    torch.manual_seed(0)
    model = SpeakerTask.build_model(args)
    (folder / "config.yaml").write_text(yaml.safe_dump(vars(args)))
    torch.save(model.state_dict(), folder / "valid.eer.best.pth")
    return folder


def test_equals_espnet_batch_equals_single(folder):
    from espnet2.bin.spk_inference import Speech2Embedding

    encoder = load_speaker_encoder("espnet_spk", str(folder))
    assert (encoder.embed_dim, encoder.sample_rate) == (10, 16000)
    torch.manual_seed(0)
    wavs = [0.1 * torch.randn(n) for n in (16000, 20000, 40000)]
    together = encoder(wavs)
    expected = Speech2Embedding(folder / "config.yaml", folder / "valid.eer.best.pth")
    for wav, row in zip(wavs, together, strict=True):
        torch.testing.assert_close(encoder([wav])[0], row)
        torch.testing.assert_close(row, expected(wav)[0])
    assert encoder([torch.zeros(0), wavs[0][:10]]).isfinite().all()


def test_checkpoint_is_named_when_it_cannot_be_guessed(folder, tmp_path):
    named = load_speaker_encoder("espnet_spk", str(folder / "valid.eer.best.pth"))
    assert named.embed_dim == 10
    with pytest.raises(FileNotFoundError, match="no .pth file: name one checkpoint"):
        load_speaker_encoder("espnet_spk", str(tmp_path))
    for name in ("a", "b"):
        (tmp_path / f"{name}.pth").touch()
    with pytest.raises(FileNotFoundError, match="has a.pth, b.pth: name one"):
        load_speaker_encoder("espnet_spk", str(tmp_path))


def test_packed_without_its_training(folder, tmp_path):
    from espnet2_taste.speaker import speaker_choices

    (folder / "spk2utt").write_text("secret a b\n")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["spk2utt"] = str(folder / "spk2utt")
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    speaker_choices.get_class("espnet_spk").pack(str(folder), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.yaml", "model.pth"]
    assert str(folder) not in (tmp_path / "config.yaml").read_text()
    wav = [0.1 * torch.randn(20000)]
    encoders = [load_speaker_encoder("espnet_spk", str(p)) for p in (folder, tmp_path)]
    assert torch.equal(encoders[0](wav), encoders[1](wav))


def test_a_foreign_checkpoint_is_an_error(folder, tmp_path):
    (tmp_path / "config.yaml").write_text((folder / "config.yaml").read_text())
    torch.save({"x": torch.zeros(1)}, tmp_path / "model.pth")
    with pytest.raises(RuntimeError, match="does not fit .*missing"):
        load_speaker_encoder("espnet_spk", str(tmp_path))


def test_a_tag_is_downloaded(folder, monkeypatch):
    asked = []

    def download(tag, cache_dir):
        asked.append((tag, cache_dir))
        return {
            "train_config": str(folder / "config.yaml"),
            "model_file": str(folder / "valid.eer.best.pth"),
        }

    monkeypatch.setattr("espnet2_taste.speaker.espnet_spk.download", download)
    encoder = load_speaker_encoder("espnet_spk", "someone/spk", cache_dir="cache")
    assert asked == [("someone/spk", "cache")] and encoder.embed_dim == 10
