"""Continuing a prompt with a cache, against reading everything again at each step."""

from collections.abc import Iterator

import torch

from benchmarks.measure import Row, Timer, check_equal
from benchmarks.setup import Setup
from espnet2_taste.taslm.generation import Prompt, generate
from espnet2_taste.taslm.sampler import SamplingOptions, Vocabulary


@torch.inference_mode()
def run(setup: Setup, timer: Timer) -> Iterator[Row]:
    """Rows by number of words; the longest without a cache, too."""
    prompt = _prompt(setup)
    vocabulary = _vocabulary(setup.taslm.lm.vocab_size).to(setup.device)

    def continuation(words: int, use_cache: bool = True):
        options = SamplingOptions(max_words=words, end_symbol=False)
        return lambda: generate(
            setup.taslm, vocabulary, prompt, options, use_cache=use_cache
        )

    shortest, *_, longest = setup.work.words
    calls = {str(words): continuation(words) for words in setup.work.words}
    times, made = timer(**calls, naive=continuation(longest, False))
    check_equal("words", made[str(longest)].text, made["naive"].text)
    check_equal("codes", made[str(longest)].codes, made["naive"].codes)
    for words in setup.work.words:
        seconds, steps = times[str(words)], made[str(words)].text.size(1)
        row = Row(
            f"{words} words ({steps} tokens) after {setup.work.prompt_words}, greedy",
            1e3 * seconds,
            note=f"{1e3 * seconds / words:.1f} ms a word",
        )
        if words == longest:
            row.ratio, row.target = times["naive"] / seconds, ">= 8"
            row.against = "no cache"
        yield row
    growth = times[str(longest)] / times[str(shortest)]
    yield Row(
        f"{longest} words over {shortest} words",
        growth,
        unit="x",
        target=f"<= {longest / shortest:g} (linear)",
    )


def _prompt(setup: Setup) -> Prompt:
    tokens = -(-setup.work.prompt_words * 3 // 2)
    made = setup.text(1, tokens, setup.conf["taslm"]["vocab_size"])
    return Prompt("audio", **made)


def _vocabulary(size: int) -> Vocabulary:
    """Of three pieces two start a word; all may be written."""
    index, none = torch.arange(size), torch.zeros(size, dtype=torch.bool)
    return Vocabulary(index % 3 > 0, none, none, none)
