"""Prompts that enter and leave a running batch are continued as they are alone."""

import logging

import pytest
import torch
from rows import cut

from espnet2_taste.taslm.generation import Prompt, generate
from espnet2_taste.taslm.running import RunningContinuations, generate_running
from espnet2_taste.taslm.sampling_options import SamplingOptions
from espnet2_taste.taslm.vocabulary import Vocabulary
from espnet2_taste.text.view import TextView

PIECES = ["", " ", *" a: b:c:d: e:f:g:h:.".split(":")]
SAMPLED = {"text_top_p": 0.95, "taste_top_p": 0.9, "repetition_penalty": 1.2}
ORDER = [0, 1, 2, 2, 1, 0, 1]


def setting(model):
    size = model.lm.vocab_size
    return model, Vocabulary.build(size, len(PIECES), PIECES.__getitem__)


def prompt(batch, mode, rows=slice(None)):
    batch, taste = cut(batch, rows)
    around = torch.tensor([3, 4]), torch.tensor([5])
    return Prompt(mode, TextView.of(batch), taste, *around)


def check(runs, alone):
    for run, single in zip(runs, alone, strict=True):
        (words, codes), (others, theirs) = run.words(0), single.words(0)
        assert words == others and codes.equal(theirs)
        torch.testing.assert_close(run.word_latents(0), single.word_latents(0))


@pytest.mark.parametrize(
    "head,mode,level,delay,options",
    [
        ("token", "zero", "word", 2, SAMPLED),
        ("token", "audio", "word", 2, SAMPLED),
        ("latent", "audio", "token", 2, {"min_tokens": 4}),
        ("latent", "instruct", "word", 0, SAMPLED),
    ],
)
def test_a_running_batch_equals_single_runs(
    make_model, batch, head, mode, level, delay, options, caplog
):
    given = setting(make_model(head, delay=delay, delay_level=level))
    options = SamplingOptions(max_words=4, max_tokens_per_word=4, seed=3, **options)
    seeds = list(range(7))
    alone = [
        generate(*given, prompt(batch, mode, slice(row, row + 1)), options, [seed])
        for row, seed in zip(ORDER, seeds, strict=True)
    ]
    assert len({run.text.size(1) for run in alone}) > 1 or mode == "zero"
    many = prompt(batch, mode, ORDER)
    for slots in (2, 20):
        check(generate_running(*given, many, options, seeds, slots), alone)
    with caplog.at_level(logging.INFO):  # what a CUDA graph would repeat
        check(generate_running(*given, many, options, seeds, 3, graph=True), alone)
    assert "no CUDA graph on cpu: steps run one by one" in caplog.text


def test_requests_of_all_kinds_come_while_others_are_at_work(make_model, batch):
    given = setting(make_model(delay=2))
    options = SamplingOptions(max_words=4, max_tokens_per_word=4, seed=3, **SAMPLED)
    running, found = RunningContinuations(*given, options, 3), {}
    modes = ["audio", "text", "zero", "instruct", "audio", "text", "audio"]
    requests = [
        prompt(batch, mode, slice(row, row + 1))
        for mode, row in zip(modes, ORDER, strict=True)
    ]
    arrivals = {0: [0], 1: [1, 2, 3, 4], 6: [5, 6]}
    for time in range(40):
        for i in arrivals.get(time, []):
            running.add(requests[i], [i])
        found |= running.advance()
    assert sorted(found) == list(range(7)) and not running.busy
    alone = [generate(*given, each, options, [i]) for i, each in enumerate(requests)]
    check([found[i] for i in range(7)], alone)


def test_who_is_dropped_leaves_the_others_as_they_are(make_model, batch):
    given = setting(make_model(delay=2))
    options = SamplingOptions(max_words=4, max_tokens_per_word=4, seed=3, **SAMPLED)
    running = RunningContinuations(*given, options, 2)
    running.add(prompt(batch, "audio", ORDER), list(range(7)))
    found = dict(running.advance())
    (working,) = [ticket for ticket in running.tickets if ticket is not None][:1]
    for ticket in (working, 6, 99):
        running.drop(ticket)
    found |= running.run()
    rows = sorted(found)
    assert rows == [row for row in range(7) if row not in (working, 6)]
    alone = [
        generate(*given, prompt(batch, "audio", slice(at, at + 1)), options, [row])
        for row, at in enumerate(ORDER)
    ]
    check([found[row] for row in rows], [alone[row] for row in rows])


def test_what_cannot_run(make_model, batch):
    given = setting(make_model(delay=1))
    options = SamplingOptions(max_words=2, max_tokens_per_word=2)
    running = RunningContinuations(*given, options, 2, capacity=9)
    with pytest.raises(ValueError, match="take up to 13 positions, the running batch"):
        running.add(prompt(batch, "audio"))
    assert not running.busy
    gpt2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 1, "n_head": 2}
    given = setting(make_model(delay=1, lm_conf={"config": gpt2}))
    with pytest.raises(ValueError, match="gpt2: only LMs with rotary .* give no slots"):
        generate_running(*given, prompt(batch, "audio"), options)
