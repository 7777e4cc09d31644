"""bin.judge against a local server that misbehaves as it is told."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from espnet2_taste.bin.judge import main
from espnet2_taste.evaluate.chat import ChatEndpoint, EndpointError
from espnet2_taste.evaluate.judge import read_judge, read_judgements


class Server(ThreadingHTTPServer):
    """Answers "Score: <n>" where the continuation is "text n".

    ``script``: replies that come first, one per request: (status, headers, body).
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.requests, self.delay = [], [], 0.0
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def reply(self, body: dict):
        if self.script:
            return self.script.pop(0)
        message = body["messages"][0]["content"]
        score = message.split("<continuation>text ")[1][0]
        choice = {"message": {"role": "assistant", "content": f"Fine.\nScore: {score}"}}
        return 200, {}, json.dumps({"choices": [choice]})


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        size = int(self.headers["Content-Length"])
        body = json.loads(self.rfile.read(size))
        self.server.requests.append((self.path, dict(self.headers), body))
        time.sleep(self.server.delay)
        status, headers, text = self.server.reply(body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def data(tmp_path):
    """Six continuations "text 1" ... "text 5", "text 1"."""
    folder = tmp_path / "data"
    folder.mkdir()
    lines = [f"u{i} text {i % 5 + 1}\n" for i in range(6)]
    (folder / "text").write_text("".join(lines))
    lines = [f"u{i} prompt {i}\n" for i in range(7)]
    (folder / "prompt_text").write_text("".join(lines))
    return folder


EXPECTED = {f"u{i}": i % 5 + 1.0 for i in range(6)}


def judge(data, server=None, *options):
    command = ["--data_dir", str(data), "--output_dir", str(data)]
    if server:
        command += ["--endpoint", server.url, "--model", "stub", "--backoff", "0.01"]
    main([*command, "--nj", "2", *options])


def test_nobody_is_asked_by_default(data, server, tmp_path):
    judge(data)
    rows = [json.loads(line) for line in open(data / "judge_prompts.jsonl")]
    assert [row["key"] for row in rows] == list(EXPECTED)
    assert rows[2]["prompt"] == "prompt 2" and rows[2]["continuation"] == "text 3"
    assert "prompt 2" in rows[2]["message"] and "text 3" in rows[2]["message"]
    assert not (data / "judge.jsonl").exists() and not server.requests
    with pytest.raises(ValueError, match="--endpoint and --model go together"):
        judge(data, None, "--model", "stub")
    (tmp_path / "own.txt").write_text("{prompt} -> {continuation}?")
    (tmp_path / "heard").write_text("u1 what was heard\n")
    options = ["--template", str(tmp_path / "own.txt"), "--text"]
    judge(data, None, *options, str(tmp_path / "heard"))
    (row,) = [json.loads(line) for line in open(data / "judge_prompts.jsonl")]
    assert row["message"] == "prompt 1 -> what was heard?"


def test_scores_and_what_is_sent(data, server, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setenv("JUDGE_KEY", "very secret")
    judge(data, server, "--key_variable", "JUDGE_KEY")
    assert read_judge(data) == EXPECTED
    path, headers, body = server.requests[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer very secret"
    assert body["model"] == "stub" and body["temperature"] == 0
    assert "secret" not in caplog.text + (data / "judge.jsonl").read_text()
    judge(data, server)  # all is answered
    assert len(server.requests) == 6
    judge(data, server, "--model", "other")  # but not by this one
    assert len(server.requests) == 12
    assert {a.model for a in read_judgements(data / "judge.jsonl").values()} == {
        "other"
    }
    text = (data / "text").read_text()
    (data / "text").write_text(text.replace("text 3", "text 4"))
    judge(data)  # one question changed: what was said of it before does not count
    scores = read_judge(data)
    assert math.isnan(scores.pop("u2")) and scores.items() < EXPECTED.items()
    judge(data, server, "--model", "other")
    assert len(server.requests) == 13
    assert read_judge(data) == EXPECTED | {"u2": 4.0}


def test_transient_failures_are_asked_again(data, server):
    server.script = [
        (429, {"Retry-After": "0.02"}, "slow down"),
        (500, {}, "oops"),
        (503, {"Retry-After": "soon"}, ""),
        (200, {}, "no json"),
        (200, {}, '{"choices": []}'),
        (200, {}, '{"choices": [{"message": {"content": null}}]}'),
    ]
    judge(data, server)
    assert read_judge(data) == EXPECTED and len(server.requests) == 12


def test_an_answer_without_a_score_is_kept_and_counted(data, server, caplog):
    content = json.dumps({"choices": [{"message": {"content": "I cannot say."}}]})
    server.script = [(200, {}, content)]
    judge(data, server, "--nj", "1")
    scores = read_judge(data)
    assert scores.pop("u0") != scores  # nan
    assert scores == {k: v for k, v in EXPECTED.items() if k != "u0"}
    assert "u0: no score in 'I cannot say.'" in caplog.text
    judge(data, server, "--nj", "1")  # the same question has the same answer
    assert len(server.requests) == 6


def test_refused_requests_stop_and_keep_what_is_answered(data, server):
    good = (200, {}, json.dumps({"choices": [{"message": {"content": "Score: 1"}}]}))
    server.script = [good, good, *[(401, {}, "wrong\nkey")] * 4]
    with pytest.raises(EndpointError, match="HTTP 401 wrong key; 2 of 6 answers are k"):
        judge(data, server, "--nj", "1")
    assert 3 <= len(server.requests) <= 6  # those under way end
    scores = read_judge(data)
    assert list(scores) == list(EXPECTED)
    assert {k: v for k, v in scores.items() if v == v} == {"u0": 1.0, "u1": 1.0}
    server.script, server.requests = [], []
    judge(data, server)
    assert read_judge(data) == EXPECTED | {"u0": 1.0, "u1": 1.0}
    assert len(server.requests) == 4


def test_retries_end(data, server):
    server.script = [(500, {}, "down")] * 20
    with pytest.raises(EndpointError, match=r"HTTP 500 down \(3 times\); 0 of 6"):
        judge(data, server, "--nj", "1", "--retries", "2")
    assert len(server.requests) in (3, 6)  # one more may be under way


def test_no_server_and_time_out(server):
    server.delay = 0.3
    quick = dict(retries=1, backoff=0.01)
    with pytest.raises(EndpointError, match=r"no answer \(timed out\) \(2 times\)"):
        ChatEndpoint(server.url, "m", timeout=0.05, **quick).ask("x")
    with pytest.raises(EndpointError, match="no answer .*refused"):
        ChatEndpoint("http://127.0.0.1:9", "m", **quick).ask("x")


def test_killed_half_way_and_resumed(data, server):
    server.delay = 0.2
    command = [sys.executable, "-m", "espnet2_taste.bin.judge", "--nj", "1"]
    command += ["--data_dir", str(data), "--output_dir", str(data)]
    command += ["--endpoint", server.url, "--model", "stub"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while len(server.requests) < 4 and process.poll() is None:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = read_judgements(data / "judge.jsonl")
    assert 2 <= len(kept) < 6
    with open(data / "judge.jsonl", "a") as lines:
        lines.write('{"key": "u5", "score": 3, "ans')  # killed while writing
    server.delay = 0.0
    time.sleep(0.3)  # the last request of the dead
    asked = len(server.requests)
    judge(data, server)
    assert len(server.requests) - asked == 6 - len(kept)
    assert read_judge(data) == EXPECTED
    keys = [json.loads(line)["key"] for line in open(data / "judge.jsonl")]
    assert keys == list(EXPECTED)
