"""HiFT's training: discriminators, ESPnet model, task, and what is trained speaks."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tiny_vocoder import TINY, TINY2, published_state, tiny_voice_generator2

from espnet2_taste.bin.gan_vocoder_train import main
from espnet2_taste.io.checkpoint import load_state
from espnet2_taste.tasks.gan_vocoder import SegmentPreprocessor
from espnet2_taste.units.world import harvest_f0
from espnet2_taste.vocoder import load_vocoder
from espnet2_taste.vocoder.cosyvoice.discriminators import (
    Discriminators,
    relativistic_loss,
)
from espnet2_taste.vocoder.cosyvoice.hift_model import HiFTModel
from espnet2_taste.vocoder.cosyvoice2.espnet_model import HiFT24Model

CONF = Path(__file__).parents[2] / "conf" / "train_vocoder_cosyvoice2_hift.yaml"
SMALL = {"segment": 5, "period_size": 1, "spectrum_size": 2}


def tiny_model(**conf):
    torch.manual_seed(0)
    return HiFT24Model(TINY2["hift_conf"], **SMALL | conf)


def make_batch(hop=480, segment=5):
    """A buzz at 150 Hz, and its f0."""
    time = torch.arange(hop * segment) / (50 * hop)
    harmonics = torch.arange(1, 8)[:, None]
    buzz = (2 * torch.pi * 150 * harmonics * time).sin().mean(0)
    speech = torch.stack([0.5 * buzz, 0.3 * buzz])
    return {
        "speech": speech,
        "speech_lengths": torch.full((2,), len(time)),
        "f0": torch.full((2, segment), 150.0),
        "utt_id": ["a", "b"],
    }


def turns(model, batch):
    """Both turns of a batch, as ESPnet's GAN trainer takes them."""
    for generator in (False, True):
        yield model(forward_generator=generator, **batch)


@pytest.mark.parametrize("kind", [HiFTModel, HiFT24Model])
def test_it_learns(kind):
    torch.manual_seed(0)
    conf = {HiFTModel: TINY, HiFT24Model: TINY2}[kind]["hift_conf"]
    model = kind(conf, **SMALL)
    batch = make_batch(model.hift.mel_spec.hop)
    before = [out["stats"] for out in turns(model.eval(), batch)]
    assert before[1] == [out["stats"] for out in turns(model, batch)][1]
    sides = (model.discriminators, model.hift)
    optimizers = [torch.optim.Adam(side.parameters(), 4e-3) for side in sides]
    model.train()
    for _ in range(7):
        for side, out in enumerate(turns(model, batch)):
            assert out["optim_idx"] == 1 - side and out["weight"] == 2
            out["loss"].backward()
            # each turn is one side's: the discriminators' never reaches HiFT
            grown = any(
                p.grad is not None and p.grad.any() for p in sides[1].parameters()
            )
            assert grown == bool(side)
            optimizers[side].step()
            for optimizer in optimizers:
                optimizer.zero_grad()
    after = [out["stats"] for out in turns(model.eval(), batch)]
    names = ("adv", "feat_match", "mel", "f0", "tpr")
    assert after[1].keys() == {"generator_loss"} | {
        f"generator_{n}_loss" for n in names
    }
    for side, name in ((0, "discriminator_loss"), (1, "generator_mel_loss")):
        assert after[side][name] < 0.9 * before[side][name]
    assert after[1]["generator_f0_loss"] < before[1]["generator_f0_loss"]


def test_losses_are_weighted_as_published():
    model, batch = tiny_model(), make_batch()
    judged, made = [out["stats"] for out in turns(model.eval(), batch)]
    loss = sum(judged[f"discriminator_{name}_loss"] for name in ("real", "fake", "tpr"))
    torch.testing.assert_close(judged["discriminator_loss"], loss)
    weights = {"adv": 1, "feat_match": 4, "mel": 45, "f0": 1, "tpr": 1}
    loss = sum(made[f"generator_{name}_loss"] * w for name, w in weights.items())
    torch.testing.assert_close(made["generator_loss"], loss)
    without = [out["stats"] for out in turns(tiny_model(tpr_weight=0).eval(), batch)]
    assert not any("tpr" in name for stats in without for name in stats)


def test_mixed_precision_makes_no_spectrum_or_phase_of_half():
    model, batch = tiny_model().eval(), make_batch()
    with torch.no_grad():
        exact = model._generate(batch["speech"])
        with torch.autocast("cpu", torch.bfloat16):
            wav, f0 = model._generate(batch["speech"])
            assert wav.dtype == f0.dtype == torch.float32
            assert all(torch.isfinite(out["loss"]) for out in turns(model, batch))
    torch.testing.assert_close(f0, exact[1], rtol=0.05, atol=0.01)


def test_waveforms_are_made_once_for_both_turns_of_a_batch(monkeypatch):
    model, batch, other = tiny_model().train(), make_batch(), make_batch()
    made, generate = [], model._generate
    monkeypatch.setattr(model, "_generate", lambda s: made.append(s) or generate(s))
    list(turns(model, batch))
    assert len(made) == 1
    model(forward_generator=False, **batch)
    model(**other)  # never another batch's
    assert [speech is other["speech"] for speech in made] == [False, False, True]


def test_relativistic_loss_is_the_formula():
    torch.manual_seed(0)
    pairs = torch.randn(2, 3, 2, 9)
    real, fake = ([[None, scores] for scores in side] for side in pairs)
    expected = 0.0
    for (_, dr), (_, dg) in zip(real, fake, strict=True):
        median = (dr - dg).median()
        mean = (dr - dg - median).square()[dr < dg + median].mean()
        expected += 1.5 - torch.relu(1.5 - mean)
    torch.testing.assert_close(relativistic_loss(real, fake, 1.5), expected)
    assert relativistic_loss(real, real, 1.5) == 0  # where upstream has no number


def test_published_configuration():
    conf = yaml.safe_load(CONF.read_text())["vocoder_conf"]
    with torch.device("meta"):
        model = HiFT24Model(**conf)
    state = {k: v for k, v in model.state_dict().items() if k.startswith("hift.")}
    assert len(state) == 328 and sum(v.numel() for v in state.values()) == 20_821_295
    folded = tiny_voice_generator2().state_dict()
    names = published_state({k: v for k, v in folded.items() if k[:5] == "hift."})
    assert published_state(state).keys() == names.keys()
    with torch.device("meta"):
        looks = Discriminators()
    layers = [len(made) for made in looks(torch.zeros(1, 4800, device="meta"))]
    assert layers == 8 * [6]


def test_f0_is_harvested_by_frame():
    speech = make_batch(segment=20)["speech"][0].numpy()
    f0 = harvest_f0(speech, 24000, 480)
    assert f0.shape == (20,) and f0.dtype == np.float32
    np.testing.assert_allclose(f0[1:-1], 150, rtol=1e-2)
    assert not harvest_f0(0 * speech, 24000, 480).any()


def test_segments():
    speech = np.arange(1, 5001, dtype=np.float32) / 5000
    for train, starts in ((True, range(2601)), (False, [1300])):
        made = SegmentPreprocessor(24000, 480, 5, train)("u", {"speech": speech})
        assert made["f0"].shape == (5,)
        assert round(made["speech"][0] * 5000) - 1 in starts
        np.testing.assert_allclose(np.diff(made["speech"]), 1 / 5000, rtol=1e-2)
    short = SegmentPreprocessor(24000, 480, 11, True)("u", {"speech": speech})["speech"]
    np.testing.assert_array_equal(short[:5000], speech)
    assert len(short) == 5280 and not short[5000:].any()


BAD = {
    "stereo": (np.zeros((5000, 2), np.float32), "utterance u: speech is not mono"),
    "short": (
        np.zeros(479, np.float32),
        "utterance u: 479 samples at 24000 Hz are too",
    ),
    "nan": (np.full(5000, np.nan, np.float32), "utterance u: speech"),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_utterances(bad):
    speech, words = BAD[bad]
    with pytest.raises(ValueError, match=words):
        SegmentPreprocessor(24000, 480, 5, True)("u", {"speech": speech})


@pytest.fixture(scope="module")
def train(tiny_data, tmp_path_factory):
    """Callable (folder, changes) that trains and returns it; from given weights."""
    root = tmp_path_factory.mktemp("hift")
    start = root / "hift.pt"
    hift = {
        k.removeprefix("hift."): v
        for k, v in tiny_model().state_dict().items()
        if k.startswith("hift.")
    }
    torch.save(hift, start)
    lengths = (tiny_data / "utt2num_samples").read_text().splitlines(keepends=True)
    (root / "two").write_text("".join(lengths[:2]))  # utterances are enough

    def run(name, **changes):
        conf = yaml.safe_load(CONF.read_text()) | {
            "vocoder_conf": {"hift_conf": TINY2["hift_conf"], **SMALL},
            "init_param": [f"{start}::hift"],
            "batch_size": 2,
            "max_epoch": 2,
            "keep_nbest_models": 2,
            "num_workers": 0,
            "use_tensorboard": False,
            "use_matplotlib": False,
        }
        folder = root / name
        folder.mkdir(exist_ok=True)
        (folder / "train.yaml").write_text(yaml.safe_dump(conf | changes))
        cmd = ["--config", f"{folder}/train.yaml", "--output_dir", f"{folder}"]
        for part in ("train", "valid"):
            data = f"{tiny_data}/wav.scp,speech,sound"
            cmd += [f"--{part}_data_path_and_name_and_type", data]
            cmd += [f"--{part}_shape_file", f"{root}/two"]
        main([*cmd, "--resume", "true"])
        return folder

    run.start = hift
    return run


def test_what_is_trained_speaks_and_resumed_equals_uninterrupted(train, tmp_path):
    whole = train("whole")
    train("parts", max_epoch=1)
    parts = train("parts")
    trained, resumed = (load_state(folder / "2epoch.pth") for folder in (whole, parts))
    assert all(torch.equal(trained[k], resumed[k]) for k in trained)
    assert any(k.startswith("discriminators.") for k in trained)
    first = {f"hift.{k}": v for k, v in train.start.items()}
    changed = [k for k, v in first.items() if not torch.equal(v, trained[k])]
    assert len(changed) > 0.9 * len(first)

    flow = tmp_path / "flow.pth"
    torch.save(tiny_voice_generator2().state_dict(), flow)
    vocoder = load_vocoder("cosyvoice2", flow, hift=whole)
    model = tiny_model()
    best = load_state(whole / "valid.generator_mel_loss.best.pth")
    model.load_state_dict(best)
    weight = vocoder.model.hift.resblocks[0].convs1[0].weight
    torch.testing.assert_close(weight, model.hift.resblocks[0].convs1[0].weight)
    wavs = vocoder([torch.arange(4), torch.arange(2)], torch.randn(2, 6))
    assert [len(wav) for wav in wavs] == [4 * 960, 2 * 960]
    assert all(torch.isfinite(wav).all() for wav in wavs)


REFUSED = {
    "accum_grad": ({"accum_grad": 2}, "--accum_grad 2: ESPnet's GAN trainer takes 1"),
    "skipped": ({"skip_discriminator_prob": 0.5}, "takes 0.0 alone"),
    "optim2_conf": ({"optim2_conf": {"rate": 1}}, "--optim2_conf.*rate"),
    "vocoder_conf": ({"vocoder_conf": {"segments": 5}}, "--vocoder_conf.*segments"),
    "segment": ({"vocoder_conf": {"segment": 2}}, "at least 3 mel frames of 480"),
    "sizes": ({"vocoder_conf": {"period_size": 0}}, "period_size 0, .*at least 1"),
    "weights": (
        {"vocoder_conf": {"hift_conf": TINY2["hift_conf"], **SMALL, "mel_weight": -1}},
        "the weight of mel is -1: at least 0",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_options(train, case):
    changes, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        train(case, **changes)
