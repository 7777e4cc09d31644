"""Stages in threads: order, room, errors, ends; nobody hangs, nothing is left."""

import asyncio
import gc
import threading
import time

import numpy as np
import pytest
import torch
from test_streaming import CODES, SPEAKERS, TEXTS, speak, system, taslm  # noqa: F401

from espnet2_taste.inference import SpeechToTaste
from espnet2_taste.inference.pipeline import (
    Pipeline,
    continuing,
    recognising,
    speaking,
    tokenising,
)
from espnet2_taste.inference.speech_streams import Words

WAIT = 20  # seconds: more than anything here takes


@pytest.fixture(autouse=True)
def no_stray_threads():
    """Every thread that a test starts has ended soon after it."""
    before = set(threading.enumerate())
    yield
    gc.collect()
    end = time.monotonic() + WAIT
    while stray := set(threading.enumerate()) - before:
        assert time.monotonic() < end, stray
        time.sleep(0.01)


def double(items):
    for item in items:
        yield 2 * item


def settled(read):
    """What ``read`` gives when it has not changed for a while."""
    value, since = read(), time.monotonic()
    while time.monotonic() - since < 0.3:
        if (now := read()) != value:
            value, since = now, time.monotonic()
        time.sleep(0.01)
    return value


async def collect(pipeline):
    async with pipeline:
        return [item async for item in pipeline]


@pytest.mark.parametrize("depth", [1, 3])
def test_items_come_in_order(depth):
    assert list(Pipeline(range(50), double, double, depth=depth)) == list(
        range(0, 200, 4)
    )
    made = asyncio.run(collect(Pipeline(range(50), double, depth=depth)))
    assert made == list(range(0, 100, 2))
    assert list(Pipeline([], double)) == []
    with pytest.raises(ValueError, match="room for an item"):
        Pipeline([], double, depth=0)


def test_who_does_not_read_stops_every_stage():
    asked = []

    def endless():
        while True:
            asked.append(1)
            yield len(asked)

    with Pipeline(endless(), double, double, depth=2) as pipeline:
        assert next(pipeline) == 4
        # an item read, two in each of three queues, one in each hand
        assert settled(lambda: len(asked)) <= 1 + 3 * 2 + 3
        assert [next(pipeline) for _ in range(20)][-1] == 84


@pytest.mark.parametrize("where", ["source", "first", "last"])
@pytest.mark.parametrize("way", ["for", "async for"])
def test_an_error_comes_to_the_consumer(where, way):
    def broken(items, at=3):
        for index, item in enumerate(items):
            if index == at:
                raise KeyError(f"{where} fails")
            yield item

    stages = [double, double]
    source = iter(range(1000))
    if where == "source":
        source = broken(source)
    else:
        stages[0 if where == "first" else 1] = broken
    heard = []

    async def listen():
        async for item in Pipeline(source, *stages):
            heard.append(item)

    with pytest.raises(KeyError, match=f"{where} fails"):
        if way == "for":
            for item in Pipeline(source, *stages):
                heard.append(item)
        else:
            asyncio.run(listen())
    assert len(heard) == 3


def test_barge_in_stops_within_an_item():
    begun, go_on = [], threading.Event()

    def slow(items):
        for item in items:
            begun.append(item)
            go_on.wait(WAIT)
            yield item

    pipeline = Pipeline(range(1000), slow, double)
    while not begun:
        time.sleep(0.001)
    pipeline.cancel()
    assert list(pipeline) == []
    go_on.set()
    pipeline.close()
    assert begun == [0]
    pipeline.close()  # again: nothing happens


def test_a_cancelled_wait_loses_nothing():
    go_on = threading.Event()

    def late(items):
        for item in items:
            go_on.wait(WAIT)
            yield item

    async def listen():
        async with Pipeline([7, 8], late) as pipeline:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(pipeline), 0.02)
            go_on.set()
            return [item async for item in pipeline]

    assert asyncio.run(listen()) == [7, 8]


def test_what_is_forgotten_ends():
    """No close, no end, not even a break: see the fixture."""
    pipeline = Pipeline(iter(int, 1), double)
    next(pipeline)
    del pipeline

    async def listen():
        async for _ in Pipeline(iter(int, 1), double):
            break

    asyncio.run(listen())


def test_a_stage_that_reads_no_further_stops_what_comes_before():
    def first_two(items):
        yield next(items)
        yield next(items)

    closed = []

    def source():
        try:
            yield from range(10**9)
        finally:
            closed.append(True)

    assert list(Pipeline(source(), double, first_two)) == [0, 2]
    assert settled(lambda: closed) == [True]


def test_from_speech_to_speech(system, speak, taslm):  # noqa: F811
    class Recogniser:
        def __call__(self, wavs):
            return [TEXTS[0] if wav.any() else "" for wav in wavs]

    wav = (0.1 * np.random.default_rng(1).standard_normal(9000)).astype(np.float32)
    tokenizer = SpeechToTaste.from_pretrained(system / "exp" / "taste")
    prompt = tokenizer(wav, TEXTS[0]).codes
    more = taslm([TEXTS[0]], [prompt])[0]
    whole = speak(more.text, SPEAKERS[0], more.codes, seed=4)
    pipeline = Pipeline(
        [0 * wav, wav],  # in the first nothing is said
        recognising(Recogniser()),
        tokenising(tokenizer),
        continuing(taslm),
        *speaking(speak, SPEAKERS[0], seed=4),
        depth=1,
    )
    chunks = asyncio.run(collect(pipeline))
    assert len(chunks) > 1
    torch.testing.assert_close(torch.cat(chunks), whole.wav, atol=1e-6, rtol=0)


def test_a_bad_piece_comes_to_the_listener(speak):  # noqa: F811
    pieces = [Words("set", CODES[0][:1]), Words("the red", CODES[0][:1])]
    with pytest.raises(ValueError, match="2 TASTE codes for 2 words"):
        list(Pipeline(pieces, *speaking(speak, SPEAKERS[0])))
