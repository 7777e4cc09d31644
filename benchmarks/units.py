"""Text, TASTE and speaker -> units, step by step."""

import argparse
import contextlib
from collections.abc import Iterator
from unittest import mock

import torch

from benchmarks import naive
from benchmarks.measure import Timer, check_equal
from benchmarks.setup import Setup
from benchmarks.table import Row
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    Conditioning,
    Sampling,
)
from espnet2_taste.text.view import TextView

PACKED = "espnet2_taste.taste.speech_decoder.unit_transformer.packed_linears"


@torch.inference_mode()
def run(setup: Setup, timer: Timer) -> Iterator[Row]:
    """One utterance against slower ways, a batch against one utterance."""
    work, decoder = setup.work, setup.taste.speech_decoder
    prompt = exactly(decoder, work)
    one, many = (conditioning(setup, size) for size in (1, work.batch))
    greedy = Sampling(top_k=1)

    def generate() -> torch.Tensor:
        return decoder.generate(one, greedy).units

    def generate_unpacked() -> torch.Tensor:
        with mock.patch(PACKED, lambda *_, **__: contextlib.nullcontext()):
            return generate()

    times, made = timer(
        ours=generate,
        naive=lambda: naive.generate_units(decoder, one, work.units),
        unpacked=generate_unpacked,
    )
    check_equal("units", made["ours"], made["naive"])
    check_equal("units", made["ours"], made["unpacked"])
    case = f"{work.units} units from {prompt} positions"
    yield Row(
        f"{case}, greedy",
        1e3 * times["ours"],
        ratio=times["naive"] / times["ours"],
        against="positions projected anew, caches concatenated",
        target=">= 3",
        note=f"{work.units / 50 / times['ours']:.1f} x real time",
    )
    if setup.device.type == "cpu":
        yield Row(
            f"{case}, greedy",
            1e3 * times["ours"],
            ratio=times["unpacked"] / times["ours"],
            against="weights in their usual layout",
        )
    times, _ = timer(
        one=lambda: decoder.generate(one, greedy),
        many=lambda: decoder.generate(many, greedy),
    )
    yield Row(
        f"{case}, batch of {work.batch}",
        1e3 * times["many"],
        ratio=work.batch * times["one"] / times["many"],
        against=f"one by one ({1e3 * times['one']:.0f} ms each)",
        target=">= 8",
    )


def exactly(decoder: torch.nn.Module, work: argparse.Namespace) -> int:
    """Let everybody have ``work.units`` units, whatever the end of speech.

    Returns:
        positions of the prompt.
    """
    prompt = work.tokens + 3
    decoder.min_ratio = decoder.max_ratio = (work.units + 0.5) / prompt
    return prompt


def conditioning(setup: Setup, batch: int) -> Conditioning:
    """Random text, TASTE embeddings and speakers."""
    conf, model = setup.conf["taste"], setup.taste
    made = setup.text(batch, setup.work.tokens, conf["vocab_size"])
    text = TextView.of(made)
    return Conditioning(
        text,
        model.codes_to_embeddings(made["taste"], text),
        torch.randn(batch, conf["spk_embed_dim"], device=setup.device),
    )
