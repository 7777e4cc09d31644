import math
from functools import partial

import pytest
import torch
from rows import cut

from espnet2_taste.taslm.generation import Prompt, generate
from espnet2_taste.taslm.sampler import (
    Sampler,
    SamplingOptions,
    draw,
    random_streams,
    top_p_filter,
)
from espnet2_taste.taslm.vocabulary import Vocabulary
from espnet2_taste.text.view import TextView

PIECES = ["", " ", *" a: b:c:d: e:f:g:h:.".split(":")]
SAMPLED = {"text_top_p": 0.95, "taste_top_p": 0.9, "repetition_penalty": 1.2}


def vocabulary(model):
    return Vocabulary.build(model.lm.vocab_size, len(PIECES), PIECES.__getitem__)


def prompt(batch, mode, rows=slice(None), granularity="word"):
    around = torch.tensor([3, 4]), torch.tensor([5])
    batch, taste = cut(batch, rows)
    return Prompt(mode, TextView.of(batch, granularity), taste, *around)


@pytest.mark.parametrize(
    "head,mode,level,delay",
    [
        ("token", "zero", "word", 2),
        ("token", "text", "word", 1),
        ("token", "audio", "word", 2),
        ("token", "audio", "word", 0),
        ("latent", "audio", "token", 2),
        ("latent", "instruct", "word", 1),
    ],
)
def test_batch_equals_single_and_cached_equals_uncached(
    make_model, batch, head, mode, level, delay
):
    model = make_model(head, delay=delay, delay_level=level)
    options = SamplingOptions(max_words=3, max_tokens_per_word=6, seed=3, **SAMPLED)
    args = model, vocabulary(model)
    together = generate(*args, prompt(batch, mode), options, [5, 6, 7])
    slow = generate(*args, prompt(batch, mode), options, [5, 6, 7], use_cache=False)
    for i in range(3):
        alone = generate(*args, prompt(batch, mode, slice(i, i + 1)), options, [5 + i])
        words, codes = alone.words(0)
        for other in (together.words(i), slow.words(i)):
            assert other[0] == words and torch.equal(other[1], codes)
        assert len(words) == len(codes) <= 3
    assert len({str(together.words(i)) for i in range(3)}) > 1


@pytest.mark.parametrize("mode,delay", [("zero", 1), ("audio", 0), ("audio", 2)])
def test_codes_of_tokens(make_model, token_batch, mode, delay):
    """As many rows as tokens; batch = single, cached = uncached."""
    model = make_model(granularity="token", delay=delay)
    options = SamplingOptions(
        max_words=3, min_words=2, max_tokens_per_word=6, seed=3, **SAMPLED
    )
    args = model, vocabulary(model)

    def of(rows):
        return prompt(token_batch, mode, rows, "token")

    together = generate(*args, of(slice(None)), options, [5, 6, 7])
    slow = generate(*args, of(slice(None)), options, [5, 6, 7], use_cache=False)
    for i in range(3):
        words, codes = generate(*args, of(slice(i, i + 1)), options, [5 + i]).words(0)
        assert 2 <= len(words) <= 3 and len(codes) == sum(map(len, words)) > 0
        for other in (together.words(i), slow.words(i)):
            assert other[0] == words and torch.equal(other[1], codes)


@pytest.mark.parametrize("delay", [1, 2])
def test_latents_of_tokens(make_taste2, token_batch, delay):
    """TASTE2: latents that no codebook rounds; batch = single, cached = uncached."""
    model = make_taste2(delay=delay)
    options = SamplingOptions(max_tokens=4, seed=3, end_symbol=False, **SAMPLED)
    args = model, vocabulary(model)

    def of(rows):
        return prompt(token_batch, "audio", rows, "token")

    together = generate(*args, of(slice(None)), options, [5, 6, 7])
    slow = generate(*args, of(slice(None)), options, [5, 6, 7], use_cache=False)
    for i in range(3):
        alone = generate(*args, of(slice(i, i + 1)), options, [5 + i])
        (words, codes), latents = alone.words(0), alone.word_latents(0)
        assert sum(map(len, words)) == len(codes) == len(latents) == 4
        assert torch.equal(codes, model.quantizer.latent_to_codes(latents))
        assert (latents != model.quantizer.codes_to_latent(codes)).any(-1).all()
        for other in (together, slow):
            assert other.words(i)[0] == words
            torch.testing.assert_close(other.word_latents(i), latents)
    with pytest.raises(ValueError, match="no start symbol: give it a prompt"):
        generate(*args, prompt(token_batch, "zero"), options)


def test_limits_in_tokens(make_taste2, token_batch):
    """Never shorter, never longer, and without what is banned; each token has codes,
    those of a token at the limit from its own position."""
    model = make_taste2()
    args = model, vocabulary(model), prompt(token_batch, "audio", granularity="token")
    free = {"text_top_p": 1.0, "first_starts_word": False}
    least = SamplingOptions(max_tokens=8, min_tokens=6, **free)
    limit = SamplingOptions(max_tokens=6, end_symbol=False, **free)
    long, short = generate(*args, least), generate(*args, limit)
    for i in range(3):
        assert 6 <= sum(map(len, long.words(i)[0])) <= 8
        assert sum(map(len, short.words(i)[0])) == 6
    used = short.text[short.emitted].unique().tolist()
    options = SamplingOptions(max_tokens=6, banned_ids=used[:2], **free)
    other = generate(*args, options)
    assert not set(used[:2]) & set(other.text[other.emitted].tolist())
    for wrong in ({"stop_id": 99}, {"banned_ids": [1, 99]}):
        with pytest.raises(ValueError, match="99: the LM has 13 ids"):
            generate(*args, SamplingOptions(max_tokens=3, **wrong))


def test_seed_changes_the_text(make_model, batch):
    model = make_model()
    texts = {
        str(
            generate(
                model,
                vocabulary(model),
                prompt(batch, "audio"),
                SamplingOptions(max_words=5, seed=seed, **SAMPLED),
            ).words(0)
        )
        for seed in range(3)
    }
    assert len(texts) == 3


def test_limits(make_model, batch):
    model = make_model()
    table = vocabulary(model)
    options = SamplingOptions(max_words=3, min_words=3, text_top_p=1.0)
    run = generate(model, table, prompt(batch, "audio"), options)
    for i in range(3):
        words, codes = run.words(i)
        assert len(words) == len(codes) == 3
        assert all(table.starts_word[word[0]] for word in words)
        flat = [token for word in words for token in word]
        assert model.lm.eos_id not in flat and not table.banned[flat].any()


def test_end_symbol_ends_the_text(make_model, batch):
    model = make_model()
    model.lm.lm.lm_head.weight.data[:] = 0  # all tokens alike: greedy takes the first
    table = vocabulary(model)
    table.banned[: len(PIECES)] = True  # nothing but the end symbol is left
    options = SamplingOptions(max_words=3)
    words, codes = generate(model, table, prompt(batch, "audio"), options).words(0)
    assert words == [] and len(codes) == 0


def test_reference_rule_stops_after_a_full_stop(make_model, batch):
    model = make_model(end_symbol=False)
    options = SamplingOptions(
        extra_words=2, end_symbol=False, text_top_p=1.0, max_tokens_per_word=40
    )
    run = generate(model, vocabulary(model), prompt(batch, "audio"), options)
    for i in range(3):
        words, codes = run.words(i)
        assert 2 <= len(words) <= 7 and len(words) == len(codes)


def test_untrained_end_symbol_is_refused(make_model, batch):
    model = make_model(end_symbol=False)
    with pytest.raises(ValueError, match="trained without an end symbol"):
        generate(
            model,
            vocabulary(model),
            prompt(batch, "zero"),
            SamplingOptions(max_words=2),
        )


def test_draw_follows_the_distribution():
    logits = torch.tensor([0.1, 0.0, 0.6, 0.3]).log()
    uniforms = torch.tensor([0.0, 0.09, 0.11, 0.69, 0.71, 1 - 2**-24])
    picked = draw(logits.expand(6, 4), uniforms)
    assert picked.tolist() == [0, 0, 2, 2, 3, 3]


def test_top_p_keeps_the_nucleus():
    logits = torch.tensor([[0.2, 0.5, 0.3]]).log()
    assert (top_p_filter(logits, 0.85) > -1e4).tolist() == [[False, True, True]]
    assert (top_p_filter(logits, 0.01) > -1e4).tolist() == [[False, True, False]]


def test_streams_depend_on_their_own_seeds_only():
    both = random_streams(1, [4, 9], 8, 2)
    assert torch.equal(both[1:], random_streams(1, [9], 8, 2))
    assert not torch.equal(both[0], random_streams(2, [4], 8, 2)[0])


def test_vocabulary_tables():
    pieces = ["", " ", " the", "re.", "\n", "\u00e9", " 7"]
    table = Vocabulary.build(9, 7, pieces.__getitem__)
    assert table.starts_word.nonzero().flatten().tolist() == [1, 2, 6, 7, 8]
    assert table.ends_sentence.nonzero().flatten().tolist() == [3]
    assert table.banned.nonzero().flatten().tolist() == [0, 4, 7, 8]
    assert table.blank.nonzero().flatten().tolist() == [1]
    latin = Vocabulary.build(9, 7, pieces.__getitem__, ban="non_latin")
    assert latin.banned.nonzero().flatten().tolist() == [0, 1, 4, 5, 7, 8]


WRONG = {
    "text_top_p": [1.5, -1, math.nan, "0.9", None, True],
    "taste_top_p": [1.01, -0.1, math.nan],
    "text_temperature": [0, -1.0, math.nan, math.inf],
    "taste_temperature": [0.0, math.nan, "1"],
    "repetition_penalty": [0, -1, math.nan, math.inf],
    "max_words": [0, -3, 2.5, "4"],
    "min_words": [-1, 50, 1.5],
    "max_tokens": [0, 1.5],
    "min_tokens": [-1, "3"],
    "max_tokens_per_word": [0, -1, 2.0, None],
    "stop_id": [-1, 0.5],
    "seed": [None, 0.5, "1"],
}


@pytest.mark.parametrize(
    "conf,message",
    [
        ({}, "needs max_words"),
        *(
            ({"max_words": 9} | {name: value}, f"{name} {value!r}: (expected|the text)")
            for name, values in WRONG.items()
            for value in values
        ),
        ({"extra_words": 2, "min_words": 8}, "min_words 8: the text ends after 7"),
        ({"max_tokens": 3, "min_tokens": 4}, "min_tokens 4: the text ends after 3"),
        ({"max_words": 9, "banned_ids": [3, -1]}, "banned_ids -1: expected whole"),
        ({"max_words": 9, "closing": [True]}, "closing True: expected whole"),
    ],
)
def test_wrong_options_are_named(conf, message):
    with pytest.raises(ValueError, match=message):
        SamplingOptions(**conf)
    base = SamplingOptions(max_words=9)
    if "extra_words" not in conf and conf:
        with pytest.raises(ValueError, match=message):
            SamplingOptions.of(base, **conf)


def test_unknown_options_are_named():
    base = SamplingOptions(max_words=9)
    for made in (SamplingOptions.of, partial(SamplingOptions.of, base)):
        with pytest.raises(ValueError, match="unknown sampling option top_p; known"):
            made(max_words=3, top_p=0.9)
    assert SamplingOptions.of(base, seed=3) == SamplingOptions(max_words=9, seed=3)


def test_repetition_is_penalised_in_greedy_decoding():
    one, no = torch.ones(4, dtype=torch.bool), torch.zeros(4, dtype=torch.bool)
    said = {}
    for penalty in (1, 5.0):
        options = SamplingOptions(
            max_words=9, end_symbol=False, repetition_penalty=penalty
        )
        table = Vocabulary(one, no, no, no)
        sampler = Sampler(options, table, 1, "word", 3, no[None].clone())
        logits, low = torch.tensor([[2.0, 1.9, 1.0, -9.0]]), torch.zeros(1)
        said[penalty] = [int(sampler.step(logits, low).text) for _ in range(3)]
    assert said == {1: [0, 0, 0], 5.0: [0, 1, 2]}


@pytest.mark.parametrize(
    "change,message",
    [
        ({"mode": "sing"}, "not one of"),
        ({"taste": None}, "needs the TASTE codes"),
        ({"mode": "instruct", "prefix": None}, "prefix and suffix"),
    ],
)
def test_wrong_prompts_are_named(batch, change, message):
    good = vars(prompt(batch, "audio"))
    with pytest.raises(ValueError, match=message):
        Prompt(**(good | change))


@pytest.mark.parametrize(
    "granularity,delay", [("token", 0), ("token", 1), ("token", 3), ("word", 2)]
)
def test_last_codes_are_heard_over_the_closing(
    make_model, batch, token_batch, granularity, delay
):
    """What is read after the end of an answer is what training has there."""
    model = make_model(granularity=granularity, delay=delay, start_symbol=False)
    data = token_batch if granularity == "token" else batch
    start = prompt(data, "audio", slice(0, 1), granularity)
    limits = {"max_tokens": 4, "min_tokens": 4, "end_symbol": False}
    options = SamplingOptions(**limits, closing=[9, 5])
    (words, codes) = generate(model, vocabulary(model), start, options).words(0)
    ids, word_ids = start.text.ids[0].tolist(), start.text.word_ids[0].tolist()
    size = len(ids)
    for word in [*words, [9], [5]]:
        ids += word
        word_ids += [word_ids[-1] + 1] * len(word)
    assert len(ids) == size + 4 + 2
    view = TextView.of(
        {
            "text": torch.tensor([ids]),
            "text_lengths": torch.tensor([len(ids)]),
            "word_ids": torch.tensor([word_ids]),
        },
        granularity,
    )
    taste = torch.cat([start.taste[0], codes, torch.full((2, 2), -1)])[None]
    learned = (torch.arange(len(ids)) >= size).long()[None]
    inputs = model.assemble(view, taste, learned)
    head = model.predict_taste(model.lm(inputs.embeds).hidden, inputs)
    assert torch.equal(head.labels, codes) and torch.equal(head.codes, codes)
