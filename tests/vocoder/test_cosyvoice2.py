"""The `cosyvoice2` vocoder on whole utterances, its weights and its training."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tiny_vocoder import (
    SPEAKER,
    TINY2,
    UNITS,
    published_state,
    tiny_voice_generator,
    tiny_voice_generator2,
)

from espnet2_taste.tasks.vocoder import VocoderTask, vocoder_choices
from espnet2_taste.units.unit_spec import UnitSpec
from espnet2_taste.vocoder import load_vocoder
from espnet2_taste.vocoder.cosyvoice import checkpoint
from espnet2_taste.vocoder.cosyvoice.vocoder import Prompt
from espnet2_taste.vocoder.cosyvoice2.espnet_model import CausalFlowModel
from espnet2_taste.vocoder.cosyvoice2.flow import CausalFlow
from espnet2_taste.vocoder.cosyvoice2.generator import Noise2, VoiceGenerator2
from espnet2_taste.vocoder.cosyvoice2.vocoder import CosyVoice2Vocoder

LENGTHS = [20, 1, 0, 7, 26]
CONF = Path(__file__).parents[2] / "conf" / "train_vocoder_cosyvoice2.yaml"
#: what no shape tells
UNTOLD = {"unet_heads": 2, "chunk": 5, "num_steps": 3}


@pytest.fixture(scope="module")
def vocoder():
    return CosyVoice2Vocoder(tiny_voice_generator2())


@pytest.fixture(scope="module")
def batch():
    torch.manual_seed(1)
    units = [torch.randint(0, UNITS, (n,)) for n in LENGTHS]
    return units, torch.randn(len(units), SPEAKER)


@pytest.mark.parametrize("chunked", [False, True])
def test_batch_equals_single(batch, chunked):
    (units, speakers), seeds = batch, [3, 1, 4, 1, 5]
    vocoder = CosyVoice2Vocoder(tiny_voice_generator2(), chunked=chunked)
    assert (vocoder.sample_rate, vocoder.unit_spec) == (24000, UnitSpec(UNITS, 25.0))
    prompts = [Prompt(item[:3], torch.randn(5, 80)) for item in units]
    for told in (None, prompts):
        wavs = vocoder(units, speakers, seeds, told)
        assert [len(wav) for wav in wavs] == [960 * n for n in LENGTHS]
        for i, wav in enumerate(wavs):
            one = slice(i, i + 1)
            alone = vocoder(units[one], speakers[one], seeds[one], told and told[one])
            assert len(wav) == 0 or (wav.std() > 1e-3 and wav.abs().max() <= 0.99)
            torch.testing.assert_close(alone[0], wav, atol=1e-4, rtol=0)


def test_published_noise_leaves_the_global_seed_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    noise = Noise2(80, 480, seed=1, item_seed=2)
    first = noise.flow(7)
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(0)
    assert torch.equal(first, torch.randn(80, 15000)[:, :7])
    assert torch.equal(noise.flow(2), Noise2(80, 480, 3, 4).flow(9)[:, 7:])
    own = [Noise2(80, 480, 0, seed, fixed=False).flow(4) for seed in (1, 1, 2)]
    assert torch.equal(own[0], own[1]) and not torch.equal(own[0], own[2])


def test_noise_goes_on_after_five_minutes():
    noise = Noise2(2, 480, 0, 0)
    noise.flow(14990)
    beyond = noise.flow(20)
    assert beyond.shape == (2, 20) and beyond.std() > 0.5
    assert torch.equal(beyond, Noise2(2, 480, 0, 0).flow(15010)[:, 14990:])


def test_noise_does_not_depend_on_how_it_is_asked_for():
    one, other = Noise2(80, 480, 0, 7), Noise2(80, 480, 0, 7)
    parts = [one.source(n) for n in (3, 0, 49, 8)]
    assert torch.equal(torch.cat(parts, 1), other.source(60))


def test_a_long_prompt_is_cut_to_two_frames_a_unit(vocoder, batch):
    units, speakers = batch[0][:1], batch[1][:1]
    torch.manual_seed(2)
    mel, said = torch.randn(11, 80), torch.arange(9)
    cut = Prompt(said[:5], mel[:10])
    wavs = [vocoder(units, speakers, prompts=[p])[0] for p in (cut, Prompt(said, mel))]
    assert torch.equal(*wavs)
    assert not torch.equal(wavs[0], vocoder(units, speakers)[0])


def test_published_names_shapes_and_counts():
    with torch.device("meta"):
        state = published_state(VoiceGenerator2().state_dict())
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    for part, tensors, values in (
        ("flow", 1121, 112_549_360),
        ("hift", 328, 20_821_295),
    ):
        own = [v for k, v in state.items() if k.startswith(f"{part}.")]
        assert (len(own), sum(v.numel() for v in own)) == (tensors, values)
    stage = "flow.decoder.estimator.down_blocks.0"
    expected = {
        "flow.input_embedding.weight": (6561, 512),
        "flow.encoder.embed.out.0.weight": (512, 512),
        "flow.encoder.up_embed.out.1.bias": (512,),
        "flow.encoder.pre_lookahead_layer.conv1.weight": (512, 512, 4),
        "flow.encoder.pre_lookahead_layer.conv2.bias": (512,),
        "flow.encoder.up_layer.conv.weight": (512, 512, 5),
        "flow.encoder.encoders.5.self_attn.linear_pos.weight": (512, 512),
        "flow.encoder.up_encoders.3.self_attn.pos_bias_u": (8, 64),
        f"{stage}.0.block1.block.0.weight": (256, 320, 3),
        f"{stage}.0.block1.block.2.weight": (256,),
        f"{stage}.2.weight": (256, 256, 3),
        "flow.decoder.estimator.up_blocks.0.0.res_conv.weight": (256, 512, 1),
        "flow.decoder.estimator.final_block.block.2.bias": (256,),
        "hift.ups.1.weight_g": (256, 1, 1),
        "hift.ups.1.weight_v": (256, 128, 11),
        "hift.source_downs.0.weight": (256, 18, 30),
        "hift.source_downs.2.weight": (64, 18, 1),
        "hift.source_resblocks.1.convs1.0.weight_v": (128, 128, 7),
        "hift.resblocks.8.convs2.2.weight_v": (64, 64, 11),
        "hift.conv_post.weight_v": (18, 64, 7),
    }
    assert {name: shapes.get(name) for name in expected} == expected
    known = checkpoint.infer_conf(state)["flow_conf"]
    assert known["up_blocks"] == 4 and known["num_units"] == 6561


def write_published(folder, model):
    """``flow.pt`` and ``hift.pt`` as CosyVoice2-0.5B has them."""
    state = published_state(model.state_dict())
    names = {"weight_g": "original0", "weight_v": "original1"}
    files = {"flow": {}, "hift": {}}
    for key, value in state.items():
        part, _, name = key.partition(".")
        stem, _, last = name.rpartition(".")
        if last in names:
            name = f"{stem}.parametrizations.weight.{names[last]}"
            value = value * (1 + torch.rand(len(value), 1, 1))  # g is not v's norm
        files[part][name] = value
    folder.mkdir(exist_ok=True)
    for part, tensors in files.items():
        torch.save(tensors, folder / f"{part}.pt")
    return files


def test_published_files_there_and_back(tmp_path, batch):
    source, packed = tmp_path / "CosyVoice2-0.5B", tmp_path / "packed"
    files = write_published(source, tiny_voice_generator2())
    options = {"flow_conf": UNTOLD}
    loaded = load_vocoder("cosyvoice2", source, **options)
    CosyVoice2Vocoder.pack(source, packed, **options)
    again = load_vocoder("cosyvoice2", packed)
    for a, b in zip(loaded(*batch), again(*batch), strict=True):
        assert torch.equal(a, b)
    stored, conf = checkpoint.read(packed)
    assert conf["flow_conf"] == UNTOLD
    for part, tensors in files.items():
        back = {k.removeprefix(f"{part}."): v for k, v in stored.items()}
        assert all(torch.equal(back[name], value) for name, value in tensors.items())
    assert len(stored) == sum(map(len, files.values()))


def test_converted_by_name_and_back(tmp_path):
    from espnet2_taste.bin.convert import main

    source, packed, again = (tmp_path / n for n in ("CosyVoice2-0.5B", "packed", "out"))
    files = write_published(source, tiny_voice_generator2(unet_heads=8))
    (source / "notes.txt").write_text("not weights")
    main([str(source), str(packed)])
    assert yaml.safe_load((packed / "parts.yaml").read_text()) == {
        "vocoder": "cosyvoice2"
    }
    main([str(packed), str(again)])
    # the same of a model that bin.pack made
    CosyVoice2Vocoder.pack(source, packed / "own" / "vocoder")
    (packed / "own" / "parts.yaml").write_text("vocoder: cosyvoice2\n")
    main([str(packed / "own"), str(tmp_path / "own")])
    assert {f.name for f in again.iterdir()} == {"flow.pt", "hift.pt"}
    for part, tensors in files.items():
        name = f"{part}.pt"
        assert (again / name).read_bytes() == (source / name).read_bytes()
        back = torch.load(tmp_path / "own" / name, weights_only=True)
        assert back.keys() == tensors.keys()
        assert all(torch.equal(back[k], v) for k, v in tensors.items())


def test_weights_of_another_version(tmp_path):
    write_published(tmp_path / "two", tiny_voice_generator2())
    with pytest.raises(
        RuntimeError, match="is of the cosyvoice2 vocoder, not of cosyv"
    ):
        load_vocoder("cosyvoice", tmp_path / "two")
    torch.save(tiny_voice_generator().state_dict(), tmp_path / "voice_generator.pth")
    with pytest.raises(RuntimeError, match="is of the cosyvoice vocoder, not of cosyv"):
        load_vocoder("cosyvoice2", tmp_path)


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"chunk": 0}, "chunk must be at least 1 unit, got 0"),
        (
            {"unit_rate": 50.0},
            "50 units a second and mel frames of 480 .* do not make 2",
        ),
        (
            {"t_scheduler": "linear"},
            "t_scheduler must be cosine or uniform, not linear",
        ),
    ],
)
def test_bad_flows(conf, message):
    with pytest.raises(ValueError, match=message):
        CausalFlow(**TINY2["flow_conf"] | conf)


def make_batch():
    """24 kHz; the first item has a frame more than its units, the second one less."""
    torch.manual_seed(0)
    return {
        "speech": 0.1 * torch.randn(2, 9600 + 500),
        "speech_lengths": torch.tensor([9600 + 500, 4800 - 100]),
        "units": torch.randint(0, UNITS, (2, 10)),
        "units_lengths": torch.tensor([10, 5]),
        "spk_emb": torch.randn(2, SPEAKER),
    }


def test_it_learns_both_masks():
    torch.manual_seed(0)
    model, batch = CausalFlowModel(TINY2["flow_conf"]), make_batch()
    before, stats, _ = model.eval()(**batch)
    assert stats["loss_full"] != stats["loss_chunked"]
    assert stats["loss"] == (stats["loss_full"] + stats["loss_chunked"]) / 2
    assert torch.equal(before, model(**batch)[0])
    optimizer = torch.optim.Adam(model.train().parameters(), 3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        loss, stats, weight = model(**batch)
        loss.backward()
        optimizer.step()
    assert stats.keys() == {"loss"} and weight == 2
    assert model.eval()(**batch)[0] < 0.7 * before
    assert all(p.grad is not None for p in model.parameters())


def test_the_mask_is_drawn_for_the_whole_batch(monkeypatch):
    model, batch, seen = CausalFlowModel(TINY2["flow_conf"]).train(), make_batch(), []

    def loss(*arguments):
        seen.append(arguments[-1])
        return torch.zeros(())

    monkeypatch.setattr(model.flow, "loss", loss)
    torch.manual_seed(0)
    for _ in range(40):
        model(**batch)
    assert set(seen) == {None, 5} and 10 < seen.count(5) < 30


def test_training_loss_of_a_batch_is_that_of_its_items():
    torch.manual_seed(0)
    conf = TINY2["flow_conf"] | {"dropout": 0.0, "drop_rate": 0.0}
    model, batch = CausalFlowModel(conf, prompt_rate=0.0).eval(), make_batch()
    batch["speech_lengths"][1], batch["units_lengths"][1] = 4800, 5
    mel, frames = model.mel(batch["speech"], batch["speech_lengths"])
    units, lengths, mel, frames = model._fit(
        batch["units"], batch["units_lengths"], mel, frames
    )
    assert lengths.tolist() == [10, 5] and frames.tolist() == [20, 10]
    from espnet2_taste.vocoder.cosyvoice.cfm import FlowDraws

    draws, cond = FlowDraws.like(mel), torch.zeros_like(mel)
    for chunk in (None, 3):
        whole = model.flow.loss(
            units, lengths, mel, frames, batch["spk_emb"], cond, draws, chunk
        )
        total = 0.0
        for i, (n, size) in enumerate(zip(lengths, frames, strict=True)):
            one = slice(i, i + 1)
            total += size * model.flow.loss(
                units[one, :n],
                lengths[one],
                mel[one, :, :size],
                frames[one],
                batch["spk_emb"][one],
                cond[one, :, :size],
                FlowDraws(draws.time[one], draws.noise[one, :, :size], draws.keep[one]),
                chunk,
            )
        torch.testing.assert_close(whole, total / frames.sum())


def test_task_and_published_configuration():
    conf = yaml.safe_load(CONF.read_text())
    assert conf["vocoder"] == "cosyvoice2_flow"
    kind = vocoder_choices.get_class(conf["vocoder"])
    assert kind.rates(**conf["vocoder_conf"]) == (24000, 25.0)
    with torch.device("meta"):
        model = kind(**conf["vocoder_conf"])
    assert sum(p.numel() for p in model.parameters()) == 112_549_360
    assert VocoderTask.data_names == ("speech", "units", "spk_emb")
    assert np.isclose(model.flow.mel_spec.fmax, 8000)
