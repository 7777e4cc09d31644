"""Who comes in, how many, for how long; and what happens when they leave."""

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tiny_server import sound_file
from tiny_system import TEXT

from espnet2_taste.bin.serve import check_host, parse_voices
from espnet2_taste.serve.client import Client, ServerError

TOKEN = "not-a-real-token"


class Slow:
    """Work that waits until it is let go; counts how often it was begun."""

    def __init__(self, work):
        self.work, self.begun, self.go = work, 0, threading.Event()

    def __call__(self, items):
        self.begun += len(items)
        assert self.go.wait(300)
        return self.work(items)


@pytest.fixture
def slow(system, monkeypatch):
    """Tokenising that waits."""
    slow = Slow(system.tokenize)
    monkeypatch.setattr(system, "tokenize", slow)
    yield slow
    slow.go.set()


def until(condition):
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_token(serve):
    with serve(token=TOKEN) as client:
        url = str(client.http.base_url)
        assert client.synthesize(TEXT)
        for token in (None, "wrong", TOKEN + "x"):
            stranger = Client(url, token)
            for ask in (
                lambda s=stranger: s.synthesize(TEXT),
                lambda s=stranger: s.score(TEXT, [[1, 2]] * 4),
            ):
                with pytest.raises(ServerError, match="a token is needed") as error:
                    ask()
                assert error.value.status == 401
            with pytest.raises(Exception, match="401"):
                list(stranger.write(text=TEXT))
            assert stranger.http.get("/metrics").status_code == 401
            assert stranger.http.get("/health").status_code == 200
        assert list(client.speak([{"text": TEXT}]))


def test_hosts():
    for host in ("127.0.0.1", "::1", "localhost"):
        check_host(host, None)
    for host in ("0.0.0.0", "::", "192.168.0.7", "example.org"):
        with pytest.raises(ValueError, match="set TASTE_TOKEN"):
            check_host(host, None)
        check_host(host, TOKEN)
    with pytest.raises(ValueError, match="at least 16"):
        check_host("127.0.0.1", "short")
    assert parse_voices(["a=b=c.wav"]) == {"a": "b=c.wav"}
    with pytest.raises(ValueError, match="expected NAME=FILE"):
        parse_voices(["a.wav"])


def test_loading(system, serve):
    """Until the models are there, requests are told to come again."""
    import httpx
    from tiny_server import serving

    go = threading.Event()

    def load():
        assert go.wait(300)
        return system

    with ThreadPoolExecutor(1) as pool:
        started = []

        def run():
            with serving(load, tell=started.append) as client:
                return client.http.get("/health").json()

        later = pool.submit(run)
        until(lambda: started)
        url = started[0]
        answer = httpx.get(f"{url}/health")
        assert (answer.status_code, answer.json()) == (503, {"status": "loading"})
        answer = httpx.post(f"{url}/v1/synthesize", json={"text": TEXT})
        assert answer.status_code == 503 and answer.headers["Retry-After"] == "1"
        go.set()
        assert later.result() == {"status": "ready"}


def test_a_full_queue(serve, slow):
    wav = sound_file(np.zeros(8000))
    with serve(queue=3, max_batch=1) as client, ThreadPoolExecutor(3) as pool:
        inside = [pool.submit(client.tokenize, wav, TEXT) for _ in range(3)]
        until(lambda: client.service.gate.inside == 3)
        with pytest.raises(ServerError, match="3 requests are waiting") as error:
            client.synthesize(TEXT)
        assert error.value.status == 429 and error.value.retry_after == 1
        slow.go.set()
        assert all(len(found.result()["codes"]) == 4 for found in inside)
        assert client.synthesize(TEXT)


def test_time_out(serve, slow):
    with serve(timeout_s=0.3, max_batch=1) as client, ThreadPoolExecutor(3) as pool:
        wav = sound_file(np.zeros(8000))
        inside = [pool.submit(client.tokenize, wav, TEXT) for _ in range(3)]
        for one in inside:
            with pytest.raises(ServerError, match="no answer within 0.3") as error:
                one.result()
            assert error.value.status == 504
        slow.go.set()
    assert slow.begun == 1  # those that waited were not begun


def request(client, path, body):
    """A connection on which a request was sent."""
    url = client.http.base_url
    link = socket.create_connection((url.host, url.port))
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    link.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return link


def test_a_client_that_leaves_is_not_worked_for(serve, monkeypatch):
    """Its slot of the running batch is free before the next steps."""
    with serve(max_batch=2) as client:
        kind = client.service.worker.kinds["speak"]
        go, bursts = threading.Event(), []
        go_on = kind._go_on

        def watched(batch, jobs):
            assert go.wait(300)
            go_on(batch, jobs)
            bursts.append(len(jobs))

        monkeypatch.setattr(kind, "_go_on", watched)
        link = request(client, "/v1/synthesize", b'{"text": "set the red lamp"}')
        until(lambda: kind.running)
        link.close()
        until(lambda: not client.service.gate.inside)
        go.set()
        until(lambda: bursts)
        assert bursts == [0] and not kind.running
        assert client.synthesize(TEXT)
        text = client.http.get("/metrics").text
        assert 'taste_requests_total{route="/v1/synthesize",status="499"} 1.0' in text


def test_a_body_that_does_not_come(serve):
    with serve(timeout_s=0.2) as client:
        url = client.http.base_url
        with socket.create_connection((url.host, url.port)) as link:
            link.sendall(
                b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"
            )
            assert b"408" in link.recv(4096)


def test_those_inside_are_answered_before_the_end(serve, slow):
    with serve() as client, ThreadPoolExecutor(1) as pool:
        wav = sound_file(np.zeros(8000))
        inside = pool.submit(client.tokenize, wav, TEXT)
        until(lambda: slow.begun)
        client.service.gate.closing = True
        assert client.http.get("/health").json() == {"status": "stopping"}
        with pytest.raises(ServerError, match="about to stop") as error:
            client.synthesize(TEXT)
        assert error.value.status == 503
        assert not asyncio.run(client.service.gate.drained(0.05))
        slow.go.set()
        assert asyncio.run(client.service.gate.drained(300))
        assert len(inside.result()["codes"]) == 4
