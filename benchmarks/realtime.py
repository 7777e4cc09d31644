"""Seconds of computing for a second of speech, alone and in a batch."""

from collections.abc import Callable, Iterator
from functools import partial

import torch

from benchmarks import taslm
from benchmarks.measure import Timer
from benchmarks.setup import Setup
from benchmarks.table import Row
from benchmarks.units import conditioning, exactly
from espnet2_taste.taslm.generation import generate
from espnet2_taste.taslm.running import generate_running
from espnet2_taste.taslm.sampler import SamplingOptions
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling

WORDS_PER_SECOND = 2.7  # what a continuation's words would last


@torch.inference_mode()
def run(setup: Setup, timer: Timer) -> Iterator[Row]:
    """Rows of speech -> codes, codes -> units, units -> waveform, continuation."""
    cases = {
        "speech -> codes": encoding,
        "text, codes -> units": speaking,
        "units -> waveform": synthesis,
        "continuation": continuation,
    }
    for name, make in cases.items():
        for batch in (1, setup.work.batch):
            call, seconds = make(setup, batch)
            times, _ = timer(call=call)
            yield Row(
                f"{name}, {batch} x {seconds:.1f} s",
                1e3 * times["call"],
                note=f"real-time factor {times['call'] / seconds / batch:.4f}",
            )
    yield from graphs(setup, timer)


def graphs(setup: Setup, timer: Timer) -> Iterator[Row]:
    """Rows of a running batch, whose steps are CUDA graphs where there is CUDA."""
    for batch in (1, setup.work.batch):
        decoder, cond = setup.taste.speech_decoder, conditioning(setup, batch)
        prompts, words = continued(setup, batch)
        given = {"slots": batch, "graph": True}
        sampling, seconds = Sampling(top_k=25, seed=0), setup.work.units / 50
        times, _ = timer(
            units=partial(decoder.generate_running, cond, sampling, **given),
            words=partial(generate_running, *prompts, **given),
        )
        for name, lasting in (("units", seconds), ("words", words)):
            yield Row(
                f"{batch} x {lasting:.1f} s of {name}, slots, a graph a step",
                1e3 * times[name],
                note=f"real-time factor {times[name] / lasting / batch:.4f}",
            )


def encoding(setup: Setup, batch: int) -> tuple[Callable, float]:
    """The call, and the seconds of speech of each utterance."""
    made = setup.taste_batch(batch)
    inputs = made["speech"], made["speech_lengths"]
    inputs = *inputs, setup.taste.view(made, "aggregator")
    return lambda: setup.taste.run_tokenizer(*inputs), setup.work.step_seconds


def speaking(setup: Setup, batch: int) -> tuple[Callable, float]:
    """Likewise: sampled units."""
    decoder, cond = setup.taste.speech_decoder, conditioning(setup, batch)
    exactly(decoder, setup.work)
    sampling = Sampling(top_k=25, seed=0)
    return lambda: decoder.generate(cond, sampling), setup.work.units / 50


def synthesis(setup: Setup, batch: int) -> tuple[Callable, float]:
    """Likewise: flow and HiFT."""
    vocoder, count = setup.vocoder, setup.work.vocoder_units
    flow = vocoder.model.flow
    units = torch.randint(flow.num_units, (batch, count))
    speakers = torch.randn(batch, flow.spk_embed_dim)
    return lambda: vocoder(list(units), speakers), count / 50


def continuation(setup: Setup, batch: int) -> tuple[Callable, float]:
    """Likewise: sampled words and codes."""
    given, seconds = continued(setup, batch)
    return lambda: generate(*given), seconds


def continued(setup: Setup, batch: int) -> tuple[tuple, float]:
    """Arguments of ``generate``, and the seconds of speech of each continuation."""
    words = setup.work.words[-1]
    vocabulary = taslm.vocabulary_of(setup.taslm.lm.vocab_size).to(setup.device)
    options = SamplingOptions(
        max_words=words, end_symbol=False, text_top_p=0.9, taste_top_p=0.9
    )
    prompt = taslm.prompt_of(setup, batch)
    return (setup.taslm, vocabulary, prompt, options), words / WORDS_PER_SECOND
