"""Small pieces that the reference computes with eager attention or Python loops."""

from collections.abc import Iterator
from unittest import mock

import torch

from benchmarks import naive
from benchmarks.measure import Timer, check_equal
from benchmarks.setup import Setup
from benchmarks.table import Row
from espnet2_taste.nn.segments import average_segments
from espnet2_taste.taste.tokenizer.abs_encoder import EncoderOutput

ATTENTION = (
    "espnet2_taste.taste.tokenizer.aggregator_layers.scaled_dot_product_attention"
)


@torch.inference_mode()
def run(setup: Setup, timer: Timer) -> Iterator[Row]:
    """Aggregator, word averaging and the TASLM's inputs for a batch."""
    batch, tokens = setup.work.batch, setup.work.tokens
    made = setup.text(batch, tokens, setup.conf["taste"]["vocab_size"])
    text, lengths, words = made["text"], made["text_lengths"], made["word_ids"]
    aggregator = setup.taste.aggregator
    width, size = setup.taste.encoder.key_size, aggregator.output_size
    frames = 50 * max(setup.work.seconds)
    states = torch.randn(2, batch, frames, width, device=setup.device)
    encoded = EncoderOutput(*states, torch.full_like(lengths, frames))

    def aggregate() -> torch.Tensor:
        return aggregator(text, lengths, encoded).hidden

    def aggregate_eagerly() -> torch.Tensor:
        with mock.patch(ATTENTION, naive.eager_attention):
            return aggregate()

    where = f"batch of {batch} x {tokens} tokens"
    times, results = timer(ours=aggregate, naive=aggregate_eagerly)
    check_equal("aggregator", results["ours"], results["naive"])
    yield _row(f"aggregator, {where}, {frames} frames", times, "eager attention")

    hidden = torch.randn(batch, tokens, size, device=setup.device)
    times, results = timer(
        ours=lambda: average_segments(hidden, words, lengths),
        naive=lambda: naive.average_segments(hidden, words, lengths),
    )
    check_equal("word averaging", results["ours"], results["naive"])
    yield _row(f"word averaging, {where}", times, "loop over words")

    taslm = setup.taslm
    made = setup.text(batch, tokens, setup.conf["taslm"]["vocab_size"])
    times, results = timer(
        ours=lambda: taslm.assemble(taslm.view(made), made["taste"]).embeds,
        naive=lambda: naive.assemble(taslm, **made),
    )
    check_equal("TASLM inputs", results["ours"], results["naive"])
    yield _row(f"TASLM inputs, {where}", times, "loop over words")


def _row(case: str, times: dict[str, float], against: str) -> Row:
    ratio = times["naive"] / times["ours"]
    return Row(case, 1e3 * times["ours"], ratio=ratio, against=against)
