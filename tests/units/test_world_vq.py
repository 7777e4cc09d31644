import numpy as np
import pytest
import torch

from espnet2_taste.io.model_folder import read_config, save_model
from espnet2_taste.units import load_unit_extractor, unit_extractor_choices, world
from espnet2_taste.units.analysis import FRAMES_PER_UNIT, count_units
from espnet2_taste.units.training import CropSampler, train_world_vq
from espnet2_taste.units.world_vq import WorldVQ, WorldVQUnitExtractor

TINY = dict(num_units=16, num_ceps=8, spk_embed_dim=4, hidden_size=16, code_dim=8)


def fake_features(num=6, num_ceps=8, seed=0):
    """Smooth random WORLD features of utterances of different lengths."""
    rng = np.random.default_rng(seed)
    features = {}
    for i in range(num):
        frames = FRAMES_PER_UNIT * (5 + 3 * i)
        x = rng.normal(size=(frames, world.NUM_PITCH + num_ceps)).cumsum(0) * 0.3
        x[:, : world.F0_PER_FRAME] = 5.0 + 0.1 * x[:, : world.F0_PER_FRAME]
        voicing = slice(world.F0_PER_FRAME, world.NUM_PITCH)
        x[:, voicing] = x[:, voicing] > 0
        features[f"utt{i}"] = x.astype(np.float32)
    return features


def fake_speakers(features):
    rng = np.random.default_rng(1)
    return {key: rng.normal(size=4).astype(np.float32) for key in features}


def train(**kwargs):
    features = fake_features()
    options = dict(max_steps=4, batch_size=8, crop_units=6, warmup_steps=2)
    return train_world_vq(features, fake_speakers(features), TINY, **(options | kwargs))


@pytest.mark.parametrize(
    "samples, units", [(0, 0), (1, 1), (640, 1), (641, 2), (54400, 85)]
)
def test_unit_count_rule(samples, units):
    assert count_units(samples) == units


def test_training_is_deterministic():
    first, second = train().state_dict(), train().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = train(seed=1).state_dict()
    assert not torch.equal(first["decoder_in.weight"], other["decoder_in.weight"])


def test_training_lowers_the_loss():
    features = fake_features()
    keys = sorted(features)
    sampler = CropSampler([features[key] for key in keys], None, 12)
    conf = dict(TINY, spk_embed_dim=0, hidden_size=32)

    def loss_of(model):
        crops, lengths, _ = sampler.draw(32, torch.Generator().manual_seed(5))
        with torch.no_grad():
            return model(crops, lengths, None)[1]["ceps"]

    short = train_world_vq(features, None, conf, 2, 16, 12, warmup_steps=1)
    trained = train_world_vq(features, None, conf, 150, 16, 12, warmup_steps=5)
    assert loss_of(trained) < 0.7 * loss_of(short)


def test_padding_does_not_matter_to_encode_or_decode():
    model = train()
    items = [torch.from_numpy(x) for x in fake_features().values()]
    lengths = torch.tensor([len(x) // FRAMES_PER_UNIT for x in items])
    padded = torch.nn.utils.rnn.pad_sequence(items, batch_first=True, padding_value=9)
    together = model.encode(padded, lengths)
    speakers = torch.randn(len(items), 4)
    decoded = model.decode(together, lengths, speakers)
    for i, (item, length) in enumerate(zip(items, lengths, strict=True)):
        alone = model.encode(item[None], length[None])
        assert torch.equal(together[i, :length], alone[0])
        assert (together[i, length:] == -1).all()
        features = model.decode(alone, length[None], speakers[i : i + 1])
        torch.testing.assert_close(
            decoded[i, : FRAMES_PER_UNIT * length], features[0], rtol=1e-4, atol=1e-4
        )


def test_crops_stay_inside_utterances():
    lengths = [3, 9, 20]
    features = [
        np.full((FRAMES_PER_UNIT * n, 5), i + 1, "f") for i, n in enumerate(lengths)
    ]
    spk_emb = torch.arange(1.0, 4.0)[:, None]
    sampler = CropSampler(features, spk_emb, 8)
    crops, units, speakers = sampler.draw(200, torch.Generator().manual_seed(0))
    for crop, length, speaker in zip(crops, units, speakers, strict=True):
        assert (crop[: FRAMES_PER_UNIT * length] == speaker).all()
    assert set(units.tolist()) == {3, 8}


def test_extractor_round_trip(tmp_path):
    save_model(tmp_path, train(), {"model_conf": TINY})
    extractor = load_unit_extractor("world_vq", str(tmp_path))
    assert (extractor.num_units, extractor.unit_rate) == (16, 25.0)
    rng = np.random.default_rng(0)
    wavs = [
        torch.from_numpy(rng.normal(size=n).astype("f") * 0.1)
        for n in (3000, 0, 640, 9001)
    ]
    units = extractor(wavs)
    assert [len(item) for item in units] == [5, 0, 1, 15]
    assert all(item.dtype == torch.int64 for item in units)
    for wav, item in zip(wavs, units, strict=True):
        assert torch.equal(extractor([wav])[0], item)
    assert isinstance(extractor, WorldVQUnitExtractor)


def test_errors_name_the_way_out(tmp_path):
    with pytest.raises(ValueError, match="s5 is no unit extractor.*world_vq"):
        unit_extractor_choices.get_class("s5")
    with pytest.raises(FileNotFoundError, match="bin/train_units.py"):
        load_unit_extractor("world_vq", str(tmp_path))
    (tmp_path / "train.yaml").write_text("modelconf: {}\n")
    with pytest.raises(ValueError, match="unknown section modelconf"):
        read_config(tmp_path / "train.yaml")


def test_checkpoint_with_code_is_refused(tmp_path):
    save_model(tmp_path, WorldVQ(**TINY), {"model_conf": TINY})

    class Evil:
        def __reduce__(self):
            return (print, ("code ran",))

    torch.save({"weights": Evil()}, tmp_path / "model.pth")
    with pytest.raises(RuntimeError, match="model.pth is not a plain checkpoint"):
        load_unit_extractor("world_vq", str(tmp_path))
