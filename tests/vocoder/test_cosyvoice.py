import pytest
import torch
from tiny_vocoder import SPEAKER, TINY, UNITS, published_state, tiny_voice_generator
from torch.nn import functional as F

from espnet2_taste.nn.padding import nearest
from espnet2_taste.vocoder import load_vocoder
from espnet2_taste.vocoder.cosyvoice import checkpoint
from espnet2_taste.vocoder.cosyvoice.cfm import FlowDraws
from espnet2_taste.vocoder.cosyvoice.generator import VoiceGenerator
from espnet2_taste.vocoder.cosyvoice.mel_spec import MelSpec
from espnet2_taste.vocoder.cosyvoice.source import running_phase
from espnet2_taste.vocoder.cosyvoice.vocoder import CosyVoiceVocoder, Prompt

SPEC = MelSpec()

HEADS = {"flow_conf": {"unet_heads": TINY["flow_conf"]["unet_heads"]}}
LENGTHS = [20, 1, 0, 7, 26, 2]  # 34, 1, 0, 12, 44, 3 frames


@pytest.fixture(scope="module")
def tiny_generator():
    return tiny_voice_generator()


@pytest.fixture
def batch():
    torch.manual_seed(1)
    units = [torch.randint(0, UNITS, (n,)) for n in LENGTHS]
    return units, torch.randn(len(units), SPEAKER)


@pytest.fixture
def vocoder(tiny_generator):
    return CosyVoiceVocoder(tiny_generator)


def assert_near(a, b, tolerance=1e-4):
    assert a.shape == b.shape
    assert (a - b).abs().max() < tolerance


def test_batch_equals_single(vocoder, batch):
    units, speakers = batch
    seeds = [3, 1, 4, 1, 5, 9]
    wavs = vocoder(units, speakers, seeds)
    assert [len(w) for w in wavs] == [SPEC.hop * SPEC.count_frames(n) for n in LENGTHS]
    for i, wav in enumerate(wavs):
        assert wav.dtype == torch.float32
        assert torch.isfinite(wav).all() and (wav.abs() <= 0.99).all()
        alone = vocoder(units[i : i + 1], speakers[i : i + 1], seeds[i : i + 1])[0]
        if len(wav):
            assert wav.std() > 1e-3
            assert_near(alone, wav)
    # other utterances beside it, another place in the batch
    other = vocoder([units[4], units[0]], speakers[[4, 0]], [seeds[4], seeds[0]])
    assert_near(other[1], wavs[0])


def test_batch_equals_single_with_prompts(vocoder, batch):
    units, speakers = batch
    prompts = [
        Prompt(torch.randint(0, UNITS, (n,)), torch.randn(frames, 80))
        for n, frames in [(5, 9), (3, 5), (4, 7), (1, 0), (6, 2), (2, 3)]
    ]
    wavs = vocoder(units, speakers, prompts=prompts)
    for i, prompt in enumerate(prompts):
        frames = SPEC.count_frames(len(prompt.units) + LENGTHS[i]) - len(prompt.mel)
        assert len(wavs[i]) == (SPEC.hop * frames if LENGTHS[i] else 0)
        alone = vocoder([units[i]], speakers[i : i + 1], prompts=[prompt])[0]
        if LENGTHS[i]:
            assert_near(alone, wavs[i])
    plain = vocoder([torch.cat([prompts[0].units, units[0]])], speakers[:1])[0]
    assert (plain[-len(wavs[0]) :] - wavs[0]).abs().max() > 1e-3  # the mel is heard


def test_training_loss_of_a_padded_batch_is_that_of_its_items(tiny_generator):
    torch.manual_seed(2)
    flow = tiny_generator.flow
    units, lengths = torch.randint(0, UNITS, (3, 9)), torch.tensor([9, 4, 1])
    mel, frames = torch.randn(3, 80, 15), torch.tensor([15, 7, 2])
    speakers, draws = torch.randn(3, SPEAKER), FlowDraws.like(mel)
    draws.keep = torch.tensor([0.9, 0.1, 0.5])
    cond = torch.zeros_like(mel)
    with torch.no_grad():
        batch = flow.loss(units, lengths, mel, frames, speakers, cond, draws)
        total = 0.0
        for i, (n, size) in enumerate(zip(lengths, frames, strict=True)):
            one = slice(i, i + 1)
            total += size * flow.loss(
                units[one, :n],
                lengths[one],
                mel[one, :, :size],
                frames[one],
                speakers[one],
                cond[one, :, :size],
                FlowDraws(draws.time[one], draws.noise[one, :, :size], draws.keep[one]),
            )
    torch.testing.assert_close(batch, total / frames.sum())


def test_seeds_decide_the_noise(tiny_generator, batch):
    units, speakers = batch[0][:1], batch[1][:1]
    first = CosyVoiceVocoder(tiny_generator, seed=1)
    assert torch.equal(first(units, speakers)[0], first(units, speakers)[0])
    again = CosyVoiceVocoder(tiny_generator, seed=1)(units, speakers, [0])[0]
    assert torch.equal(first(units, speakers)[0], again)
    for other in (first(units, speakers, [1])[0], CosyVoiceVocoder(tiny_generator)):
        wav = other if torch.is_tensor(other) else other(units, speakers)[0]
        assert not torch.equal(wav, again)


def test_inference_is_in_eval_mode_always(vocoder, batch):
    expected = vocoder(*batch)
    vocoder.model.train()
    for a, b in zip(vocoder(*batch), expected, strict=True):
        assert torch.equal(a, b)


def test_speaker_matters_but_not_its_scale(vocoder, batch):
    units, speakers = batch[0][:1], batch[1]
    first, scaled, other = (
        vocoder(units, x[None])[0] for x in (speakers[0], 7 * speakers[0], speakers[1])
    )
    assert_near(first, scaled)
    assert (first - other).abs().max() > 1e-3


def test_nothing_to_say(vocoder):
    assert vocoder([], torch.zeros(0, SPEAKER)) == []
    wavs = vocoder([torch.zeros(0).long()], torch.zeros(1, SPEAKER))
    assert [len(w) for w in wavs] == [0]


@pytest.mark.parametrize(
    ("units", "width", "message"),
    [
        ([0, UNITS], SPEAKER, rf"units must lie in \[0, {UNITS}\), .* \[0, {UNITS}\]"),
        ([-1], SPEAKER, r"units must lie in"),
        ([1], SPEAKER + 1, rf"are \(1, {SPEAKER + 1}\), the vocoder takes \(1, 6\)"),
    ],
)
def test_refuses_what_it_cannot_say(vocoder, units, width, message):
    with pytest.raises(ValueError, match=message):
        vocoder([torch.tensor(units)], torch.zeros(1, width))


def test_refuses_lists_of_other_lengths(vocoder, batch):
    with pytest.raises(ValueError, match="2 item_seeds for 6 utterances"):
        vocoder(*batch, item_seeds=[0, 1])


@pytest.mark.parametrize("shape", [(44, 80), (5, 79)])
def test_refuses_a_prompt_that_does_not_fit(vocoder, shape):
    prompt = Prompt(torch.zeros(20).long(), torch.zeros(shape))
    with pytest.raises(ValueError, match="mel of .* does not fit 26 units"):
        vocoder([torch.zeros(6).long()], torch.zeros(1, SPEAKER), prompts=[prompt])


def published(model):
    """A state dict as published: norms apart, and not those of the v."""
    state = published_state(model.state_dict())
    for key in [k for k in state if k.endswith(".weight_v")]:
        scale = torch.rand(len(state[key]), 1, 1) + 0.5
        state[key] = state[key] * scale
    return state


def newer(state):
    names = {"weight_g": "original0", "weight_v": "original1"}
    for old, new in names.items():
        new = f"parametrizations.weight.{new}"
        state = {
            k.removesuffix(old) + new if k.endswith(old) else k: v
            for k, v in state.items()
        }
    return state


def part(state, prefix, outer=""):
    return {
        outer + k.removeprefix(prefix): v
        for k, v in state.items()
        if k.startswith(prefix)
    }


@pytest.fixture(params=["file", "newer names", "cosyvoice", "own", "folded"])
def saved(request, tiny_generator, tmp_path):
    """(path, what it does not tell): every form weights come in."""
    state = published(tiny_generator)
    if request.param == "file":
        torch.save(state, tmp_path / "voice_generator.pth")
        return tmp_path / "voice_generator.pth", HEADS
    if request.param == "newer names":
        torch.save(newer(state), tmp_path / "voice_generator.pth")
        return tmp_path, HEADS
    if request.param == "cosyvoice":
        torch.save(part(state, "flow."), tmp_path / "flow.pt")
        hift = part(newer(state), "hift.", "generator.") | {"epoch": 3, "step": 70}
        torch.save(hift, tmp_path / "hift.pt")
        return tmp_path, HEADS
    state = state if request.param == "own" else tiny_generator.state_dict()
    checkpoint.save(tmp_path, state, TINY)
    return tmp_path, {}


def test_loads_every_form(saved, vocoder, batch):
    path, conf = saved
    loaded = load_vocoder("cosyvoice", str(path), **conf)
    for a, b in zip(loaded(*batch), vocoder(*batch), strict=True):
        if len(a):
            assert_near(a, b, 1e-5)


def test_the_way_back_to_published_names_loses_nothing(tiny_generator, tmp_path):
    state = published(tiny_generator)
    conf = checkpoint.infer_conf(state, HEADS["flow_conf"]["unet_heads"])
    assert conf == TINY
    checkpoint.save(tmp_path, checkpoint.from_published(newer(state)), conf)
    back = published_state(checkpoint.read(tmp_path)[0])
    assert back.keys() == state.keys()
    assert all(torch.equal(back[k], state[k]) for k in state)


def test_hift_from_elsewhere(tiny_generator, batch, tmp_path):
    checkpoint.save(tmp_path / "a", tiny_generator.state_dict(), TINY)
    other = {k: 1.1 * v for k, v in tiny_generator.state_dict().items()}
    torch.save(other, tmp_path / "b.pth")
    loaded = load_vocoder("cosyvoice", tmp_path / "a", hift=tmp_path / "b.pth")
    state = loaded.model.state_dict()
    assert all(
        torch.equal(
            v, (other if k.startswith("hift.") else tiny_generator.state_dict())[k]
        )
        for k, v in state.items()
    )


def test_weights_that_do_not_fit_are_listed(tiny_generator, tmp_path):
    state = published(tiny_generator)
    del state["flow.encoder_proj.bias"], state["hift.ups.0.weight_g"]
    state["flow.decoder.extra"] = torch.zeros(1)
    state["hift.conv_post.bias"] = torch.zeros(17)
    torch.save(state, tmp_path / "voice_generator.pth")
    with pytest.raises(RuntimeError) as caught:
        load_vocoder("cosyvoice", tmp_path, **HEADS)
    message = str(caught.value)
    assert "\n" not in message
    for expected in (
        "missing (2): flow.encoder_proj.bias, hift.ups.0.weight;",
        "unexpected (2): flow.decoder.extra, hift.ups.0.weight_v;",
        "other shape (1): hift.conv_post.bias [17] instead of [18]",
    ):
        assert expected in message


def test_a_part_is_missing(tiny_generator, tmp_path):
    torch.save(part(tiny_generator.state_dict(), "flow."), tmp_path / "flow.pt")
    with pytest.raises(RuntimeError, match=r"missing \(\d+\): hift\..*, \.\.\."):
        load_vocoder("cosyvoice", tmp_path, **HEADS)
    with pytest.raises(FileNotFoundError, match="no vocoder at .*nowhere: give voice_"):
        load_vocoder("cosyvoice", tmp_path / "nowhere")


def test_flow_and_hift_of_other_mels():
    with pytest.raises(ValueError, match="other mels .num_mels 80 and 40"):
        with torch.device("meta"):
            VoiceGenerator(hift_conf={"mel_size": 40})


def test_published_size():
    with torch.device("meta"):
        state = published_state(VoiceGenerator().state_dict())
    assert len(state) == 1412
    assert sum(v.numel() for v in state.values()) == 125_335_343
    flow = sum(v.numel() for k, v in state.items() if k.startswith("flow."))
    assert flow == 104_874_752
    assert checkpoint.infer_conf(state)["flow_conf"].items() >= {
        ("num_units", 4096),
        ("encoder_heads", 8),
        ("unet_head_size", 64),
        ("unet_mid_stages", 12),
    }


def test_interpolation_is_torch_nearest():
    for n in [1, 2, 3, 26, 96, *range(100, 2000, 47)]:
        frames = SPEC.count_frames(n)
        assert frames == int(n / 50 * 22050 / 256)
        x = torch.arange(float(n))[None, :, None]
        lengths, sizes = torch.tensor([n]), torch.tensor([frames])
        expected = F.interpolate(x.transpose(1, 2), frames, mode="nearest")
        assert torch.equal(nearest(x, lengths, sizes, frames)[0, :, 0], expected[0, 0])


def test_running_phase_stays_exact_for_a_minute():
    f0 = torch.full((1, 60 * 86), 217.3)
    phase = running_phase(f0, SPEC)[0, 8]
    step = (f0[0, 0] * 9 / 22050).double()
    exact = step * torch.arange(1, len(phase) + 1).double() % 1
    difference = (phase - exact).abs()
    assert torch.minimum(difference, 1 - difference).max() < 1e-9
