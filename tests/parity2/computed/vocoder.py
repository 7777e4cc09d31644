"""CosyVoice 2's flow, HiFT and streaming loop: a_*, h_* and s_*."""

from functools import partial

import torch
from on_device import DEVICE
from parity.compare import Result

from espnet2_taste.hub.compat import count_padding, round_phases
from espnet2_taste.hub.compat_stream import PublishedLoop
from espnet2_taste.nn.padding import frame_mask
from espnet2_taste.nn.segments import length_mask
from espnet2_taste.vocoder.cosyvoice.cfm import FlowDraws
from espnet2_taste.vocoder.cosyvoice.checkpoint import (
    fold_weight_norm,
    from_published,
    infer_conf,
)
from espnet2_taste.vocoder.cosyvoice.vocoder import Prompt
from espnet2_taste.vocoder.cosyvoice2.flow import RATE, CausalFlow
from espnet2_taste.vocoder.cosyvoice2.generator import VoiceGenerator2

FLOW_MODEL, HIFT_MODEL = "a_flow_model", "h_hift_model"
HALF = 1e-3  # of values that are stored in float16
#: of waveforms whose excitation is ours: the reference's phases are float32, and an f0
#: that differs in its last place moves them
WAVEFORM = 5e-3


def generator(folder) -> VoiceGenerator2:
    """With the folder's weights, whose shapes must tell its sizes."""
    sizes, hift = folder.config["flow"], folder.config["hift"]
    state = {}
    for file in (FLOW_MODEL, HIFT_MODEL):
        state |= from_published(folder.weights_of(file))
    state = fold_weight_norm(state)
    conf = infer_conf(state, sizes["unet_heads"])
    told = {
        "num_units": sizes["units"],
        "encoder_size": sizes["width"],
        "encoder_heads": sizes["heads"],
        "encoder_ffn_size": sizes["ffn"],
        "encoder_blocks": sizes["blocks"],
        "unet_size": sizes["unet"],
        "unet_head_size": sizes["head_dim"],
        "unet_blocks": sizes["unet_blocks"],
        "unet_mid_stages": sizes["mid"],
    }
    assert told.items() <= conf["flow_conf"].items()
    assert (
        conf["hift_conf"] | {"base_size": hift["base"], "f0_size": hift["f0"]}
        == (conf["hift_conf"])
    )
    conf["flow_conf"]["chunk"] = sizes["chunk"]
    model = VoiceGenerator2(**conf)
    model.load_state_dict(state)
    return model.to(DEVICE).eval()


def flow(folder) -> CausalFlow:
    return count_padding(generator(folder).flow)


def tapped(modules: dict[str, torch.nn.Module], run) -> dict[str, list[tuple]]:
    """(input, output) of every call of some modules while ``run()`` runs."""
    calls: dict[str, list[tuple]] = {name: [] for name in modules}
    hooks = [
        module.register_forward_hook(
            lambda _, given, out, name=name: calls[name].append((given[0], out))
        )
        for name, module in modules.items()
    ]
    run()
    for hook in hooks:
        hook.remove()
    return calls


@torch.no_grad()
def encoder(folder) -> dict:
    """``a_encoder``; names of stages and lengths are those of the folder."""
    model, out = flow(folder), {}
    units, coder = folder.inputs["token"].long(), model.encoder
    parts = ("pre_lookahead_layer", "up_layer", "up_encoders", "after_norm")
    modules = {name: getattr(coder, name) for name in parts}
    modules |= {"embed": coder.embed["out"], "up_embed": coder.up_embed["out"]}
    modules["up"] = coder.up_layer.conv
    for mode, chunk in (("full", None), ("stream", model.chunk)):
        calls = tapped(modules, partial(model.encode, units, chunk=chunk))
        ((_, final),) = calls["after_norm"]
        scale = coder.size**0.5
        stages = {
            "embed": scale * calls["embed"][0][1],
            "pre_lookahead": calls["pre_lookahead_layer"][0][1],
            "encoders": calls["up_layer"][0][0],
            "up_layer": calls["up"][0][1],
            "up_embed": scale * calls["up_embed"][0][1],
            "up_encoders": calls["after_norm"][0][0],
            "out": final,
            "mu": model.encoder_proj(final),
        }
        out |= {f"{mode}.{name}": value for name, value in stages.items()}
        batch = folder.inputs["batch_token"].long()
        lengths = folder.inputs["batch_token_len"].long()
        valid = length_mask(RATE * lengths, RATE * batch.size(1))
        padded = model.encode(batch, lengths, chunk)
        out[f"batch.{mode}.out"] = Result(padded, valid)
    for (size,) in (m.groups() for m in folder.match("a_encoder", r"prefix(\d+)\.out")):
        n = int(size)
        ahead = units[:, n : n + model.look_ahead]
        out[f"prefix{n}.out"] = model.encode(units[:, :n], None, model.chunk, ahead)
    return out


@torch.no_grad()
def estimator(folder) -> dict:
    """``a_estimator``."""
    model, data = flow(folder), folder.load("a_estimator")
    unet = model.decoder.estimator
    time, mask = unet.time_table(data["t"]), data["mask"]
    given = (data["x"], data["mu"], time, data["spks"], data["cond"], mask)
    chunk = RATE * model.chunk
    return {"v_full": unet(*given), "v_stream": unet(*given, chunk)}


@torch.no_grad()
def inference(folder) -> dict:
    """``a_inference``: what is asked for is in the tensors' names."""
    model, out, inputs = flow(folder), {}, folder.inputs
    pattern = r"((offline|stream)(_prompt)?(?:_all|_prefix(\d+))?)\.mel"
    for match in folder.match("a_inference", pattern):
        name, mode, prompted, prefix = match.groups()
        units, known = inputs["token"].long(), 0
        if prefix:
            units = units[:, : int(prefix) + model.look_ahead]
        if prompted:
            units = torch.cat([inputs["prompt_token"].long(), units], 1)
            known = inputs["prompt_feat"].size(1)
        ahead = None
        if prefix:
            size = units.size(1) - model.look_ahead
            units, ahead = units[:, :size], units[:, size:]
        noise = inputs["rand_noise"][..., : RATE * units.size(1)]
        cond = torch.zeros_like(noise)
        if prompted:
            cond[..., :known] = inputs["prompt_feat"].transpose(1, 2)
        chunk = model.chunk if mode == "stream" else None

        given = (units, inputs["embedding"], noise, None, cond, chunk, ahead)
        calls = tapped(
            {"unet": model.decoder.estimator, "flow": model}, partial(model, *given)
        )
        made = calls["flow"][0][1]
        out[f"{name}.mel"] = made[..., known:]
        out[f"{name}.v_first"] = calls["unet"][0][1]
        out[f"{name}.x_mid"] = calls["unet"][5][0][:1]
    return out


def training(folder) -> dict:
    """``a_flow_train``: losses and some gradients, from recorded draws."""
    data, out = folder.load("a_flow_train"), {}
    mel, frames = data["speech_feat"].transpose(1, 2), data["speech_feat_len"].long()
    units, lengths = data["speech_token"].long(), data["speech_token_len"].long()
    for (name,) in (m.groups() for m in folder.match("a_flow_train", r"(\w+)\.loss")):
        mode, scheduler = name.split("_")
        model = flow(folder)
        model.decoder.t_scheduler = scheduler
        draws = folder.values["flow_train"][name]["python_draws"]
        known = iter(draws[1:])  # the first is the mode's
        sizes = [next(known)[3] if next(known)[1] >= 0.5 else 0 for _ in units]
        told = frame_mask(torch.tensor(sizes, device=DEVICE), mel.size(2))
        loss = model.loss(
            units,
            lengths,
            mel,
            frames,
            data["embedding"],
            mel * told,
            FlowDraws(*(data[f"{mode}.{key}"] for key in "uzr")),
            model.chunk if mode == "stream" else None,
        )
        loss.backward()
        out[f"{name}.loss"] = loss
        for key, parameter in model.named_parameters():
            out[f"{name}.grad.{key}"] = parameter.grad
    return out


def recorded_noise(call: int, samples: int) -> torch.Tensor:
    """(9, samples): the formula that stands for the draws of a call of HiFT."""
    i = torch.arange(1, samples + 1).double()[:, None]
    h = torch.arange(9).double()
    values = 1.4 * torch.sin(i * (0.37 + 0.11 * h) + 0.5 * (1 + 3 * call))
    return values.float().T.contiguous()


@torch.no_grad()
def hift(folder) -> dict:
    """``h_hift``: each part from the recorded input of it."""
    model, data = round_phases(generator(folder).hift), folder.load("h_hift")
    mel, noise = data["mel"], data["randn"].transpose(1, 2)
    modules = {"source": model.m_source, "linear": model.m_source.l_linear}
    modules |= {"conv_pre": model.conv_pre, "conv_post": model.conv_post}
    modules |= {f"ups{i}": up for i, up in enumerate(model.ups)}

    def run():
        model.m_source(data["f0"], data["rand_ini"], noise)
        wavs.append(model.decode(mel, data["source"][:, 0]))

    wavs: list[torch.Tensor] = []
    calls = tapped(modules, run)
    cached = model.m_source(data["f0"], None, recorded_noise(0, noise.size(2))[None])
    kept = 4 * model.mel_spec.hop
    cached[:, :kept] = data["source"][:, 0, -kept:]
    return {
        "f0": model.f0_predictor(mel),
        "sine": Result(calls["linear"][0][0], tolerance=HALF),
        "source": calls["source"][0][1][:, None],
        "wav": wavs[0],
        "conv_pre": calls["conv_pre"][0][1],
        "conv_post": calls["conv_post"][0][1],
        "ups0": calls["ups0"][0][1],
        "ups1": Result(calls["ups1"][0][1], tolerance=HALF),
        "ups2": Result(calls["ups2"][0][1], tolerance=HALF),
        "cached.source": cached[:, None],
        "cached.wav": Result(model.decode(mel, cached), tolerance=WAVEFORM),
    }


@torch.no_grad()
def streams(folder) -> dict:
    """``s_stream``: the published loop, with its faults."""
    model, inputs, sizes = generator(folder), folder.inputs, folder.config["stream"]
    units, out = inputs["stream_token"][0].long(), {}
    round_phases(model.hift)
    prompt = Prompt(inputs["prompt_token"][0].long(), inputs["prompt_feat"][0])
    for case in ("plain", "prompt", "nonstream"):
        calls = iter(range(len(units)))

        def noise(samples, calls=calls):
            return recorded_noise(next(calls), samples).to(DEVICE)

        loop = PublishedLoop(
            model,
            inputs["embedding"],
            inputs["rand_noise"][0],
            noise,
            prompt if case == "prompt" else None,
            sizes["hop"],
            sizes["max_hop"],
        )
        wavs = loop.speak(units, streaming=case != "nonstream")
        told = folder.values["stream"][case]
        assert [wav.size(1) for wav in wavs] == told["samples"]
        assert loop.hop == told["hop_len_left_on_the_model"]
        for index, wav in enumerate(wavs):
            out[f"{case}.{index}"] = Result(wav, tolerance=WAVEFORM)
    return out | {"speech_window": loop.window}


FILES = {
    "a_encoder": encoder,
    "a_estimator": estimator,
    "a_inference": inference,
    "a_flow_train": training,
    "h_hift": hift,
    "s_stream": streams,
}
