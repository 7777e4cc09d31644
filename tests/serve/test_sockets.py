"""Streams give what whole calls give; who leaves or lies ends only their own."""

import base64
import json
import threading
import time
from contextlib import suppress

import numpy as np
import pytest
from test_routes import CODES, said, talkative
from tiny_system import TEXT
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from espnet2_taste.io.audio import to_pcm16
from espnet2_taste.serve.client import ServerError


def pieces():
    words = TEXT.split()
    return [
        {"text": f" {word}", "codes": [row]}
        for word, row in zip(words, CODES, strict=True)
    ]


def streamed(system, seed=0):
    """What the class streams alone."""
    voice, codes = system.voices["neutral"], np.array(CODES)
    chunks = system.taste.stream(TEXT, voice, codes, seed=seed)
    return b"".join(to_pcm16(chunk.numpy()) for chunk in chunks)


def sound(items):
    rate, *chunks = items
    assert rate == {"sample_rate": 16000}
    return b"".join(chunk for chunk in chunks if isinstance(chunk, bytes))


def test_words_in_sound_out(client, system):
    found = sound(client.speak(pieces(), seed=3))
    assert len(found) == 2 * len(said(system, seed=3).wav)
    wanted = streamed(system, 3)
    difference = np.frombuffer(found, "<i2").astype(int) - np.frombuffer(wanted, "<i2")
    # the words came one by one: the same units, WORLD's noise is drawn anew
    assert len(found) == len(wanted) and abs(difference).mean() < 2000
    whole = [{"text": TEXT, "codes": CODES}]
    assert sound(client.speak(whole, seed=3)) == wanted


def test_a_continuation_word_by_word(client, system):
    given = {"max_words": 3, "text_top_p": 1.0}
    given["seed"], _ = talkative(system, **given)
    whole = client.go_on(text=TEXT, codes=CODES, **given)
    parts = list(client.write(text=TEXT, codes=CODES, **given))
    assert "".join(part["text"] for part in parts) == whole["text"]
    assert [row for part in parts for row in part["codes"]] == whole["codes"]
    heard = list(client.write(text=TEXT, codes=CODES, **given, sound=True))
    assert [x for x in heard if isinstance(x, dict)][1:] == parts
    wanted = said(system, whole["text"], whole["codes"], seed=given["seed"])
    assert len(sound(heard)) == 2 * len(wanted.wav)


def test_streams_beside_each_other_and_requests(client, system):
    from concurrent.futures import ThreadPoolExecutor

    wanted = [streamed(system, seed) for seed in range(6)]
    with ThreadPoolExecutor(12) as pool:
        whole = [{"text": TEXT, "codes": CODES}]
        streams = [
            pool.submit(lambda s=s: sound(client.speak(whole, seed=s)))
            for s in range(6)
        ]
        others = [pool.submit(client.synthesize, TEXT, CODES) for _ in range(6)]
        assert [stream.result() for stream in streams] == wanted
        assert len({other.result() for other in others}) == 1


@pytest.mark.parametrize(
    "messages,message",
    [
        ([{"voice": "nobody"}], "no such voice"),
        ([{"seed": -1}], "seed"),
        ([{}, {"text": " set", "codes": [[1, 99]]}], "0 to 7"),
        ([{}, {"text": " set", "codes": [[1, 2]]}, {"text": " the"}], "with and"),
        ([{}, {"text": "x" * 81}], "80 characters"),
        ([{}, {"text": " 42"}], "42"),
        ([{}, {"end": True}, {"text": "more"}], ""),
        ([{}, {"path": "/etc/passwd"}], "path: Extra"),
        (["{"], ""),
        (["[" * 50_000], "nested"),
        ([b"\x00" * 8], "JSON, as text"),
    ],
)
def test_bad_messages(client, messages, message):
    with connect(f"{client.socket_url}/v1/synthesize/stream") as link:
        for item in messages:
            link.send(item if isinstance(item, str | bytes) else json.dumps(item))
        found = []
        with suppress(ConnectionClosed):
            while True:
                found.append(link.recv())
    last = json.loads(found[-1])
    if message:
        assert message in last["error"]["message"]
    assert "error" in last or last == {"end": True}


def test_bad_prompts(client):
    with pytest.raises(ServerError, match="give text"):
        list(client.write())
    bomb = base64.b64encode(b"x" * (2 << 20)).decode()
    with pytest.raises((ConnectionClosed, ServerError)):
        list(client.write(audio=bomb))


def test_pages_of_other_sites(client):
    url = f"{client.socket_url}/v1/synthesize/stream"
    with pytest.raises(InvalidStatus, match="403"):
        connect(url, additional_headers={"Origin": "http://evil.example"})
    own = str(client.http.base_url)
    connect(url, additional_headers={"Origin": own}).close()


def until(condition):
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_listener_who_leaves(client, monkeypatch):
    """Nothing more is computed for it, and its place is free."""
    streams = client.service.worker.kinds["streams"]
    link = connect(f"{client.socket_url}/v1/synthesize/stream")
    link.send("{}")
    link.send('{"text": " set"}')
    until(lambda: streams.live)
    link.close()
    until(lambda: not streams.live and not client.service.gate.inside)
    # without a word of farewell
    link = connect(f"{client.socket_url}/v1/synthesize/stream")
    link.send("{}")
    until(lambda: streams.live)
    link.socket.close()
    until(lambda: not streams.live and not client.service.gate.inside)


def test_a_listener_who_is_slow_stops_the_work(system):
    """No more than some chunks wait for it."""
    import asyncio

    from espnet2_taste.serve.streams import Stream, Streams

    made, woken = [], threading.Event()

    class Worker:
        wake = woken.set

    def steps(system, inbox):
        for number in range(100):
            made.append(number)
            yield number

    async def slow():
        stream, kind = Stream(Worker, steps), Streams(system)
        kind.put(stream)
        while not kind.delay():
            kind.step()
        before = len(made)
        await stream.__anext__()
        kind.step()
        return before, len(made)

    assert asyncio.run(slow()) == (8, 9)
