"""Lighter weights on a CPU: what they bring in time, and what they cost in accuracy.

CPU seconds of the process, as in ``same_work``; accuracy is that of random weights,
whose decisions are nearer to each other than trained ones'. Of the vocoder (a seventh
of HiFT's last weights, so that random ones do not clip), the error of the mel from the
same noise in nepers, and of the sound made of one mel in dB; real-time factors are by
the clock, with as many threads as there are. A processor that does not multiply
bfloat16 has no rows of it.
"""

import copy
import statistics
import time
from collections.abc import Iterator
from functools import partial

import torch

from benchmarks.measure import Timer
from benchmarks.same_work import CpuTimer
from benchmarks.setup import Setup
from benchmarks.table import Row
from benchmarks.taslm import prompt_of, vocabulary_of
from benchmarks.units import conditioning, exactly
from espnet2_taste.nn.light_linears import (
    WEIGHTS,
    lighten_linears,
    multiplies_bfloat16,
)
from espnet2_taste.taslm.generation import generate
from espnet2_taste.taslm.sampling_options import SamplingOptions
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling
from espnet2_taste.vocoder.cosyvoice.generator import Noise


@torch.inference_mode()
def run(setup: Setup, timer: Timer) -> Iterator[Row]:
    """A row for each work and each kind of weights."""
    timer = CpuTimer(setup.device, timer.repeats)
    exactly(setup.taste.speech_decoder, setup.work)
    seen = inputs(setup)
    exact, seconds = {}, {}
    for weights in worthwhile(WEIGHTS):
        taste, taslm = copy.deepcopy(setup.taste), copy.deepcopy(setup.taslm)
        for model in (taste, taslm):
            lighten_linears(model, weights)
        for name, work in works(setup, taste, taslm, seen).items():
            times, made = timer(call=work)
            taken = times["call"]
            exact.setdefault(name, made["call"])
            seconds.setdefault(name, taken)
            yield Row(
                f"{name}, {weights}",
                taken,
                unit="s",
                ratio=seconds[name] / taken,
                against="float32",
                note=accuracy(made["call"], exact[name]),
            )
    yield from vocoder_rows(setup, timer.repeats)


def worthwhile(kinds: tuple[str, ...]) -> list[str]:
    """The kinds of weights that this processor multiplies."""
    return [w for w in kinds if w != "bfloat16" or multiplies_bfloat16()]


def inputs(setup: Setup) -> dict:
    """What all kinds of weights read."""
    return {
        "speech": setup.taste_batch(),
        1: conditioning(setup, 1),
        setup.work.batch: conditioning(setup, setup.work.batch),
        "prompt": prompt_of(setup, 1),
    }


def works(setup: Setup, taste, taslm, seen: dict) -> dict:
    """Name -> a call that gives tensors to compare."""
    batch, decoder = seen["speech"], taste.speech_decoder
    view = taste.view(batch, "aggregator")

    def codes() -> dict[str, torch.Tensor]:
        speech = batch["speech"], batch["speech_lengths"]
        made = taste.run_tokenizer(*speech, view)
        return {"latents": made.quantizer.latent, "codes": made.quantizer.codes}

    def units(size: int) -> dict[str, torch.Tensor]:
        made = decoder.generate(seen[size], Sampling(top_k=1))
        return {"units": made.units[:, : setup.work.units // 10]}

    options = SamplingOptions(max_words=setup.work.words[-1], end_symbol=False)
    vocabulary = vocabulary_of(taslm.lm.vocab_size).to(setup.device)

    def words() -> dict[str, torch.Tensor]:
        made = generate(taslm, vocabulary, seen["prompt"], options)
        return {"tokens": made.text, "latents": made.latents[:, :1]}

    made = {"speech to codes": codes}
    for size in dict.fromkeys((1, setup.work.batch)):
        made[f"{setup.work.units} units of {size}"] = partial(units, size)
    return made | {f"TASLM, {setup.work.words[-1]} words": words}


def vocoder_rows(setup: Setup, repeats: int) -> Iterator[Row]:
    """Flow matching and HiFT, one utterance; all ways in turn."""
    units, speaker, noise, offsets, excitation = vocoder_inputs(setup)
    seconds = units.size(1) / setup.vocoder.unit_spec.unit_rate
    models = {}
    for weights in worthwhile(("float32", "bfloat16")):
        vocoder = models[weights] = copy.deepcopy(setup.vocoder)
        for parameter in vocoder.model.hift.conv_post.parameters():
            parameter.data /= 7
        vocoder.lighten(weights)

    def speak(weights: str, solver: str, steps: int) -> torch.Tensor:
        flow, hift = models[weights].model.flow, models[weights].model.hift
        flow.decoder.solver, flow.decoder.num_steps = solver, steps
        mel = flow(units, speaker, noise)
        hift(mel, offsets, excitation)
        return mel

    ways = {
        f"flow and HiFT, {weights}, {solver} {steps}": (weights, solver, steps)
        for weights in models
        for solver, steps in (("euler", 10), ("midpoint", 3))
    }
    calls = {name: partial(speak, *way) for name, way in ways.items()}
    mels = {name: call() for name, call in calls.items()}
    cpu, clock = {name: [] for name in ways}, {name: [] for name in ways}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.process_time(), time.perf_counter()
            call()
            cpu[name].append(time.process_time() - start[0])
            clock[name].append(time.perf_counter() - start[1])
    first = next(iter(ways))
    exact = models["float32"].model.hift(mels[first], offsets, excitation)
    for name, (weights, *_) in ways.items():
        sound = models[weights].model.hift(mels[first], offsets, excitation)
        error = (sound - exact).norm() / exact.norm()
        taken, factor = (statistics.median(x[name]) for x in (cpu, clock))
        off = (mels[name] - mels[first]).square().mean().sqrt()
        spread = mels[first].std()
        yield Row(
            name,
            taken,
            unit="s",
            ratio=statistics.median(cpu[first]) / taken,
            against="float32, euler 10",
            note=f"real-time factor {factor / seconds:.2f}; mel off by {off:.4f} Np "
            f"(its deviation {spread:.2f}), error of the sound of one mel "
            f"{20 * float(error.log10()):.0f} dB",
        )


def vocoder_inputs(setup: Setup) -> tuple[torch.Tensor, ...]:
    """Units, speaker, and the noise of flow, harmonics and excitation."""
    flow = setup.vocoder.model.flow
    units = torch.randint(flow.num_units, (1, setup.work.vocoder_units))
    size = flow.count_frames(units.size(1))
    noise = Noise.draw(flow.mel_spec, size, 0, 0, 0)
    parts = (noise.flow, noise.offsets, noise.source)
    speaker = torch.randn(1, flow.spk_embed_dim)
    return units, speaker, *(part[None] for part in parts)


def accuracy(made: dict, exact: dict) -> str:
    """Errors of floats, shares of integers that are equal; units: the first tenth, for
    a greedy path that has parted never comes back."""
    parts = []
    for name, want in exact.items():
        got = made[name]
        if want.is_floating_point():
            parts.append(
                f"{name} off by {100 * (got - want).norm() / want.norm():.2f} %"
            )
        else:
            size = min(got.size(1), want.size(1))
            equal = (got[:, :size] == want[:, :size]).double().mean()
            parts.append(f"{name} equal: {100 * equal:.1f} %")
    return ", ".join(parts)
