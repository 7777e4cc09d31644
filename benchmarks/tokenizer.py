"""Speech -> TASTE codes: what the audio's length costs, and which part costs it."""

import contextlib
import copy
from collections.abc import Iterator

import torch

from benchmarks.measure import Timer
from benchmarks.setup import Setup
from benchmarks.table import Row

SAMPLE_RATE = 16000
TOKENS_PER_SECOND = 4


@torch.inference_mode()
def run(setup: Setup, timer: Timer) -> Iterator[Row]:
    """Rows of the encoder by length, then the parts of the longest utterance."""
    model = setup.taste
    fitted, padded = (_with(model.frontend, pad_to_30s=p) for p in (False, True))
    masked, unmasked = (_with(model.encoder, mask_padding=m) for m in (True, False))
    for seconds in setup.work.seconds:
        wav, lengths = _speech(setup, seconds)
        times, _ = timer(
            fitted=lambda: masked(*fitted(wav, lengths)),  # noqa: B023
            padded=lambda: unmasked(*padded(wav, lengths)),  # noqa: B023
        )
        yield Row(
            f"encoder, {seconds} s of speech",
            1e3 * times["fitted"],
            ratio=times["padded"] / times["fitted"],
            against="padded to 30 s",
        )
    yield from _parts(setup, timer, fitted)


def _with(module: torch.nn.Module, **attributes) -> torch.nn.Module:
    """A copy that shares the weights but not these attributes."""
    module = copy.copy(module)
    vars(module).update(attributes)
    return module


def _speech(setup: Setup, seconds: float) -> tuple[torch.Tensor, torch.Tensor]:
    wav = 0.1 * torch.randn(1, int(seconds * SAMPLE_RATE), device=setup.device)
    return wav, torch.tensor([wav.size(1)], device=setup.device)


def _parts(setup: Setup, timer: Timer, frontend) -> Iterator[Row]:
    """End to end, through the model's own method, and the share of each part."""
    model = copy.copy(setup.taste)
    model._modules = dict(model._modules, frontend=frontend)
    seconds = setup.work.seconds[len(setup.work.seconds) // 2]
    speech = _speech(setup, seconds)
    tokens = max(3, round(TOKENS_PER_SECOND * seconds))
    made = setup.text(1, tokens, setup.conf["taste"]["vocab_size"])
    text = model.view(made, "aggregator")
    parts = ("frontend", "encoder", "aggregator", "quantizer")
    whole, _ = timer(whole=lambda: model.run_tokenizer(*speech, text))
    kept: dict[str, tuple] = {}
    with contextlib.ExitStack() as hooks:
        for name in parts:
            hook = getattr(model, name).register_forward_hook(_keep(kept, name))
            hooks.callback(hook.remove)
        model.run_tokenizer(*speech, text)
    calls = {name: _again(getattr(model, name), kept[name]) for name in parts}
    times, _ = timer(**calls)
    yield Row(
        f"tokenisation, {seconds} s of speech",
        1e3 * whole["whole"],
        note=f"{seconds / whole['whole']:.0f} x real time",
    )
    total = sum(times.values())
    for name, value in times.items():
        yield Row(f"- {name}", 1e3 * value, note=f"{100 * value / total:.0f} %")


def _keep(kept: dict, name: str):
    def hook(module, args, output) -> None:
        kept[name] = args

    return hook


def _again(module: torch.nn.Module, args: tuple):
    return lambda: module(*args)
