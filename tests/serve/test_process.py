"""The server as a process: what a kill leaves, and a restart."""

import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
from tiny_system import TEXT
from websockets.exceptions import ConnectionClosed

from espnet2_taste.serve.client import Client


@pytest.fixture
def start(packed, tmp_path):
    """Callable (port) -> a server's process; all it may write lies in ``tmp_path``."""
    started = []

    def run(port):
        started.append(launch(packed / "everything.zip", tmp_path, port))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def launch(model, folder, port):
    env = os.environ | {"TASTE_CACHE": str(folder / "cache"), "HOME": str(folder)}
    env |= {"TMPDIR": str(folder / "tmp")}
    command = [sys.executable, "-m", "espnet2_taste.bin.serve", "--model", str(model)]
    command += ["--port", str(port)]
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)


def ready(client, process):
    end = time.monotonic() + 400
    while True:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        try:
            if client.http.get("/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)


def free_port():
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        return link.getsockname()[1]


def files(folder):
    return sorted(str(path) for path in folder.rglob("*") if path.is_file())


def test_killed_while_it_speaks_and_restarted(start, tmp_path):
    """Clients get an error, a restart serves again, no file is left; SIGTERM ends it
    with status 0."""
    (tmp_path / "tmp").mkdir()
    port = free_port()
    client = Client(f"http://127.0.0.1:{port}")
    process = start(port)
    ready(client, process)
    wanted, left = client.synthesize(TEXT, seed=1), files(tmp_path)

    def words():
        yield {"text": " set the red"}
        yield {"text": " lamp"}
        process.kill()
        process.wait()
        yield {"text": " lamp"}

    with pytest.raises((ConnectionClosed, OSError)):
        list(client.speak(words()))
    with pytest.raises(httpx.TransportError):
        client.synthesize(TEXT)
    assert files(tmp_path) == left
    process = start(port)
    ready(client, process)
    assert client.synthesize(TEXT, seed=1) == wanted
    process.send_signal(signal.SIGTERM)
    assert process.wait(200) == 0
    assert files(tmp_path) == left


@pytest.mark.parametrize(
    "options,message",
    [
        (["--model", "absent.zip"], "absent.zip does not exist"),
        (["--model", "absent.zip", "--host", "0.0.0.0"], "set TASTE_TOKEN"),
        (["--model", ".", "--voice", "a"], "expected NAME=FILE"),
        (["--model", "."], "is no packed model with a tokenizer"),
    ],
)
def test_what_cannot_be_served(tmp_path, monkeypatch, options, message):
    from espnet2_taste.bin.serve import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TASTE_TOKEN", raising=False)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        main([*options, "--port", "0"])
