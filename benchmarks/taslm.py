"""Continuing a prompt with a cache, against reading everything again at each step."""

from collections.abc import Iterator
from functools import partial

import torch

from benchmarks import naive
from benchmarks.measure import Timer, check_equal
from benchmarks.setup import Setup
from benchmarks.table import Row
from espnet2_taste.taslm.generation import Prompt, generate
from espnet2_taste.taslm.sampler import SamplingOptions
from espnet2_taste.taslm.vocabulary import Vocabulary
from espnet2_taste.text.view import TextView


@torch.inference_mode()
def run(setup: Setup, timer: Timer) -> Iterator[Row]:
    """Rows by number of words; the longest without a cache, too; then a batch."""
    model, words = setup.taslm, setup.work.words
    longest, prompt = words[-1], prompt_of(setup, 1)
    vocabulary = vocabulary_of(model.lm.vocab_size).to(setup.device)
    options = {n: SamplingOptions(max_words=n, end_symbol=False) for n in words}

    def call(prompt: Prompt, count: int = longest, use_cache: bool = True):
        return generate(model, vocabulary, prompt, options[count], use_cache=use_cache)

    def reference() -> None:
        with naive.heads_everywhere(model):
            call(prompt, use_cache=False)

    times, made = timer(
        **{str(count): partial(call, prompt, count) for count in words},
        naive=partial(call, prompt, use_cache=False),
        reference=reference,
    )
    _check(made[str(longest)], made["naive"])
    for count in words:
        seconds, tokens = times[str(count)], made[str(count)].text.size(1)
        row = Row(
            f"{count} words ({tokens} tokens) after {setup.work.prompt_words}, greedy",
            1e3 * seconds,
            note=f"{1e3 * seconds / tokens:.1f} ms a token",
        )
        if count == longest:
            row.ratio, row.against = times["naive"] / seconds, "no cache"
        yield row
    ratio = times["reference"] / times[str(longest)]
    against = "no cache, both heads at all positions (the reference's loop)"
    yield Row(row.case, row.value, ratio=ratio, against=against, target=">= 8")
    ends = [times[str(n)] / made[str(n)].text.size(1) for n in (words[0], longest)]
    case = f"time of a token: {longest} words over {words[0]} words"
    yield Row(case, ends[1] / ends[0], unit="x", target="1 (linear)")

    size = setup.work.taslm_batch
    prompt = prompt_of(setup, size)
    once = Timer(setup.device, repeats=1)  # the naive way takes long
    many, made = once(
        ours=partial(call, prompt), naive=partial(call, prompt, use_cache=False)
    )
    _check(made["ours"], made["naive"])
    ratio = many["naive"] / many["ours"]
    case = f"{longest} words, batch of {size}"
    yield Row(case, 1e3 * many["ours"], ratio=ratio, against="no cache", target=">= 8")


def _check(ours, without_cache) -> None:
    check_equal("words", ours.text, without_cache.text)
    check_equal("codes", ours.codes, without_cache.codes)


def prompt_of(setup: Setup, batch: int) -> Prompt:
    """``prompt_words`` words of random text and codes."""
    tokens = -(-setup.work.prompt_words * 3 // 2)
    made = setup.text(batch, tokens, setup.conf["taslm"]["vocab_size"])
    return Prompt("audio", TextView.of(made), made["taste"])


def vocabulary_of(size: int, inner: int = 3) -> Vocabulary:
    """Each ``inner``th piece goes on with a word (0: none does); all may be written."""
    index, none = torch.arange(size), torch.zeros(size, dtype=torch.bool)
    starts = index % inner > 0 if inner else ~none
    return Vocabulary(starts, none, none, none)
