"""What comes from elsewhere costs no more than its size says, and never waits."""

import json
import os
import pty
import struct
import subprocess
import sys
import time
import zipfile

import pytest
import yaml
from serving import reply, serving

from espnet2_taste.evaluate import chat
from espnet2_taste.evaluate.chat import ChatEndpoint, EndpointError
from espnet2_taste.io import archive, config, download
from espnet2_taste.io.config import parse_yaml, read_yaml
from espnet2_taste.io.models import locate

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)
MERGES = "a0: &a0 {x: 1, y: 2}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 12)
)
KEYS = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{p: *a{i - 1}, q: *a{i - 1}, r: *a{i - 1}}}\n" for i in range(1, 30)
)


@pytest.mark.parametrize(
    "text",
    [
        *(LAUGHS, MERGES, KEYS),
        *("a: &a [*a]", "a: &a {b: *a}", "a: &a {b: [{c: *a}]}", "a: &a {<<: *a}"),
        *("a: " + "[" * 5_000, "a: " + "{b: " * 2_000, "- " * 3_000 + "x"),
        "a: " + "[\n" * 2_000 + "]" * 2_000,
        *("a: 2026-13-45", "a: !!int x", "? [a, b]\n: c", "? {a: b}\n: c"),
        *("a: !!python/object/apply:os.system [x]", "a: *b"),
        *("a: \x07", "a: 'b", "\t- a", "a: b: c", "a: 1\n---\nb"),
        "a: " + "9" * 10_000,
    ],
    ids=lambda text: repr(text[:20]),
)
def test_costly_and_broken_yaml(tmp_path, text):
    started = time.monotonic()
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"^{path}.*(refused, for|is not YAML)") as e:
        read_yaml(path)
    assert "\n" not in str(e.value)
    assert time.monotonic() - started < 5


def test_a_file_of_gigabytes(tmp_path):
    path = tmp_path / "config.yaml"
    with path.open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(ValueError, match="config.yaml has 3072 MB: no configuration"):
        read_yaml(path)


@pytest.mark.parametrize("text", ["a: &x {b: [1, 2]}\nc: *x", "c: 1\n", "a: [[[1]]]"])
def test_what_people_write_is_read(text):
    assert parse_yaml(text, "x") == yaml.safe_load(text)
    assert parse_yaml("", "x") is None and config.MAX_BYTES > 1 << 20


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TASTE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def size(folder):
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


@pytest.mark.parametrize("count, length", [(1, 300), (30, 10), (3, 100)])
def test_zips_that_unpack_to_much_more(cache, tmp_path, monkeypatch, count, length):
    monkeypatch.setattr(archive, "SMALL", 1 << 20)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("parts.yaml", "units: s3\n")
        for i in range(count):
            made.writestr(f"units/{i}", bytes(length << 17))
    with pytest.raises(ValueError, match="a.zip: refused, for its .* kB would unpack"):
        locate(tmp_path / "a.zip")
    assert size(cache) == 0


@pytest.mark.parametrize("declared", [0, 1, 100])
def test_zips_that_hold_more_than_they_say(cache, tmp_path, declared):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("parts.yaml", "units: s3\n")
        made.writestr("units/w", bytes(50 << 20))
    content = path.read_bytes()
    lie = content.replace(struct.pack("<I", 50 << 20), struct.pack("<I", declared))
    assert lie != content
    path.write_bytes(lie)
    with pytest.raises(ValueError, match="a.zip is damaged"):
        locate(path)
    assert size(cache) < 1 << 20


def test_a_zip_of_very_many_files(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBERS", 100)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        for i in range(101):
            made.writestr("parts.yaml" if not i else f"units/{i}", "a: b")
    with pytest.raises(ValueError, match="refused, for it has 101 files"):
        locate(tmp_path / "a.zip")


def test_a_disk_too_small_for_a_zip(cache, tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("parts.yaml", bytes(2 << 20))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"free": 1 << 20}))
    with pytest.raises(OSError, match="a.zip needs 2 MB, 1 MB are free: set TASTE_C"):
        locate(tmp_path / "a.zip")


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(bytes(1 << 20))


def drip(handler):
    handler.send_response(200)
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.02)


def silent(handler):
    time.sleep(2)


def huge(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 60))
    handler.end_headers()


@pytest.mark.parametrize(
    "answer, message",
    [
        (endless, "does not end: stopped"),
        (drip, "bytes in 0 s: stopped"),
        (silent, "timed out"),
        (huge, "has 1099511627776 MB: no room"),
    ],
)
def test_downloads_that_do_not_end(cache, monkeypatch, answer, message):
    monkeypatch.setattr(download, "MAX_BYTES", 5 << 20)
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    monkeypatch.setattr(download, "TRIES", 1)
    started = time.monotonic()
    with serving(answer) as url:
        with pytest.raises(FileNotFoundError, match=message):
            locate(f"{url}/m.zip")
    assert time.monotonic() - started < 5 and size(cache) == 0


DEEP = b"[" * 200_000 + b"]" * 200_000
TOO_DEEP = b'{"choices": [{"message": {"content": ' + DEEP + b"}}]}"


@pytest.mark.parametrize(
    "answer, message",
    [
        (endless, "more than 1 MB"),
        (drip, "not complete after 0.3 s"),
        (silent, "timed out"),
        (huge, "IncompleteRead|an answer without|no answer"),
        (lambda h: reply(h, DEEP), "an answer without|not"),
        (lambda h: reply(h, TOO_DEEP), "an answer without"),
        (lambda h: reply(h, b"\xff\xfe"), "an answer without"),
        (lambda h: reply(h, b""), "an answer without"),
        (lambda h: reply(h, json.dumps({"choices": []}).encode()), "an answer without"),
        (lambda h: reply(h, b"x" * 10_000, 500), "HTTP 500 x"),
        (lambda h: reply(h, b"", 500, Retry_After="1e400"), "HTTP 500"),
        (
            lambda h: h.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000),
            "no ans",
        ),
        (lambda h: h.wfile.write(b"what?\r\n\r\n"), "no answer"),
    ],
)
def test_answers_of_the_judge(cache, answer, message, monkeypatch):
    monkeypatch.setattr(chat.time, "sleep", lambda _: None)
    started = time.monotonic()
    if answer in (drip, silent):
        monkeypatch.undo()
    with serving(answer) as url:
        endpoint = ChatEndpoint(f"{url}/v1", "m", timeout=0.3, retries=0)
        with pytest.raises(EndpointError, match=message) as error:
            endpoint.ask("?")
    assert len(str(error.value)) < 600 and "\n" not in str(error.value)
    assert time.monotonic() - started < 5


def test_no_command_waits_for_the_terminal():
    """Its standard input is a terminal; whoever asks reads an end of file at once."""
    main, other = pty.openpty()
    code = (
        "from espnet2_taste.bin import run\n"
        "import subprocess, sys\n"
        "def main():\n"
        "    assert subprocess.run(['cat']).returncode == 0\n"
        "    raise ValueError('asked ' + repr(sys.stdin.read()))\n"
        "run(main)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], stdin=other, capture_output=True, timeout=60
    )
    os.close(main)
    os.close(other)
    assert done.returncode == 1 and b"error: asked ''" in done.stderr
