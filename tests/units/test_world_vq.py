import subprocess
import sys

import numpy as np
import pytest
import torch

from espnet2_taste.io.model_folder import save_model
from espnet2_taste.units import load_unit_extractor, unit_extractor_choices, world
from espnet2_taste.units.analysis import FRAMES_PER_UNIT
from espnet2_taste.units.world_vq import WorldVQ, WorldVQUnitExtractor
from espnet2_taste.vocoder import load_vocoder

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


def train(steps=4, **conf) -> WorldVQ:
    """A model that saw all utterances a few times."""
    torch.manual_seed(0)
    features = [torch.from_numpy(x) for x in fake_features().values()]
    model = WorldVQ(**(TINY | conf))
    rows = torch.cat(features)
    model.set_statistics(rows.mean(0), rows.std(0))
    batch = {
        "feats": torch.nn.utils.rnn.pad_sequence(features, batch_first=True),
        "feats_lengths": torch.tensor([len(x) for x in features]),
        "spk_emb": torch.randn(len(features), 4),
    }
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        model(**batch)[0].backward()
        optimizer.step()
    return model.eval()


def test_training_lowers_the_loss_and_noise_is_of_training():
    features = [torch.from_numpy(x) for x in fake_features().values()]
    feats = torch.nn.utils.rnn.pad_sequence(features, batch_first=True)
    batch = {
        "feats": feats,
        "feats_lengths": torch.tensor([len(x) for x in features]),
        "spk_emb": torch.randn(len(features), 4),
    }
    early, late = (train(steps, spk_noise=5.0) for steps in (1, 60))
    with torch.no_grad():
        (first, stats, weight), (again, *_) = early(**batch), early(**batch)
        assert first == again and weight == len(features)
        assert {"loss", "ceps", "f0", "voicing", "commit"} == stats.keys()
        assert late(**batch)[1]["loss"] < 0.8 * first
        late.train()
        assert late(**batch)[1]["ceps"] != late(**batch)[1]["ceps"]


def test_codes_are_kept_though_a_batch_has_few_units():
    def replaced(threshold):
        """Codes that a step moves further than its moving average can."""
        model = train(steps=1, num_units=64, dead_code_threshold=threshold).train()
        features = [torch.from_numpy(x) for x in list(fake_features().values())[:2]]
        feats = torch.nn.utils.rnn.pad_sequence(features, batch_first=True)
        before = model.quantizer.codebook.clone()
        for _ in range(3):
            model(feats, torch.tensor([len(x) for x in features]), torch.randn(2, 4))
        moved = (model.quantizer.codebook - before).norm(dim=-1)
        return int((moved > 0.3 * before.norm(dim=-1)).sum())

    assert replaced(0.01) < 0.25 * replaced(1.0)


def test_padding_does_not_matter_to_the_loss():
    model = train()
    x = torch.from_numpy(fake_features()["utt3"])[None]
    long = torch.nn.functional.pad(x, (0, 0, 0, 6), value=7.0)
    lengths, speaker = torch.tensor([x.shape[1]]), torch.randn(1, 4)
    alone, padded = (model(feats, lengths, speaker)[1] for feats in (x, long))
    for name, value in alone.items():
        torch.testing.assert_close(padded[name], value, msg=name)


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


def test_units_of_20_ms_in_a_narrow_band(tmp_path):
    conf = TINY | {"frames_per_unit": 1, "bandwidth": 4000}
    save_model(tmp_path, train(**conf), {"model_conf": conf})
    extractor = load_unit_extractor("world_vq", str(tmp_path))
    assert extractor.unit_rate == 50.0
    wav = torch.from_numpy(np.random.default_rng(0).normal(size=3000).astype("f"))
    units = extractor([wav])
    assert len(units[0]) == 10
    vocoder = load_vocoder("world_vq", str(tmp_path))
    assert len(vocoder(units, torch.randn(1, 4))[0]) == 10 * 320


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
    with pytest.raises(FileNotFoundError, match="bin/units_train.py"):
        load_unit_extractor("world_vq", str(tmp_path))


def test_checkpoint_with_code_is_refused(tmp_path):
    save_model(tmp_path, WorldVQ(**TINY), {"model_conf": TINY})

    class Evil:
        def __reduce__(self):
            return (print, ("code ran",))

    torch.save({"weights": Evil()}, tmp_path / "model.pth")
    with pytest.raises(RuntimeError, match="model.pth is not a plain checkpoint"):
        load_unit_extractor("world_vq", str(tmp_path))


PROGRAM = """
import os, sys
import torch
from espnet2_taste.units.world_vq import WorldVQ
rank = 0 if os.fork() else 1
torch.set_num_threads(1)
file = f"file://{sys.argv[1]}/init"
torch.distributed.init_process_group("gloo", file, rank=rank, world_size=2)
torch.manual_seed(rank)
model = WorldVQ(num_units=16, num_ceps=8, spk_embed_dim=4, hidden_size=16, code_dim=8)
start = model.quantizer.codebook.clone()
wrapped = torch.nn.parallel.DistributedDataParallel(model)
feats = torch.randn(4, 24, 12) + 3 * rank  # other data in each
optimizer = torch.optim.Adam(model.parameters())
states = []
for _ in range(3):
    optimizer.zero_grad()
    wrapped(feats, torch.full((4,), 24), torch.randn(4, 4))[0].backward()
    optimizer.step()
    states.append({k: v.clone() for k, v in model.state_dict().items()})
torch.save(states, f"{sys.argv[1]}/{rank}.pth")
torch.distributed.barrier()
os._exit(0)
"""


def test_processes_share_one_codebook(tmp_path):
    """Its k-means start, moving averages and replaced codes, in every step."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    ranks = [torch.load(tmp_path / f"{rank}.pth") for rank in (0, 1)]
    for one, other in zip(*ranks, strict=True):
        for name, value in one.items():
            assert torch.equal(value, other[name]), name
        # k-means and averages counted the vectors of both: 2 x 4 x 12
        (sizes,) = (v for k, v in one.items() if k.endswith("cluster_size"))
        assert torch.isfinite(sizes).all()
    (first,) = (v for k, v in ranks[0][0].items() if k.endswith("cluster_size"))
    assert 90 < first.sum() < 150
