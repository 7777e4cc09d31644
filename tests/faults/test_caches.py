"""Downloads and caches: known by content, whole when used, healed if they are not."""

import io
import os
import threading
import zipfile
import zlib
from pathlib import Path

import pytest
from serving import reply, serving

from espnet2_taste.io import download, identity, model_cache
from espnet2_taste.io.models import locate, read_parts


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TASTE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("parts.yaml", "units: s3\n")
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(f"units/{name}"), content)
    return buffer.getvalue()


def same_crc(text: bytes, crc: int) -> bytes:
    """``text`` and four bytes that give it a CRC-32: run backwards, bit by bit."""
    ones = 0xFFFFFFFF
    table = [zlib.crc32(bytes([i]), ones) ^ ones for i in range(256)]
    top = {entry >> 24: (i, entry) for i, entry in enumerate(table)}
    state, indices = crc ^ 0xFFFFFFFF, []
    for _ in range(4):
        index, entry = top[state >> 24]
        indices.insert(0, index)
        state = ((state ^ entry) << 8) & 0xFFFFFFFF
    now = zlib.crc32(text) ^ 0xFFFFFFFF
    for index in indices:
        text += bytes([(now ^ index) & 0xFF])
        now = (now >> 8) ^ table[index]
    return text


def test_two_zips_that_differ_in_content_alone(cache, tmp_path):
    first = b"weights of one model 1234"
    second = same_crc(b"weights of another 12", zlib.crc32(first))
    assert len(first) == len(second) and zlib.crc32(first) == zlib.crc32(second)
    path = tmp_path / "a.zip"
    times = {}
    for content in (first, second):
        path.write_bytes(zipped(w=content))
        stat = times.setdefault("of", path.stat())
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert (locate(path) / "units/w").read_bytes() == content


def truncate(file):
    file.write_bytes(file.read_bytes()[:-1])


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES = {
    "truncated": truncate,
    "one bit": flip,
    "empty": lambda file: file.write_bytes(b""),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"\0"),
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "gone": lambda file: file.unlink(),
}


@pytest.mark.parametrize("name", ["units/w", "parts.yaml", model_cache.DIGESTS])
@pytest.mark.parametrize("damage", DAMAGES)
def test_an_unpacked_file_is_checked_before_use(cache, tmp_path, name, damage, caplog):
    (tmp_path / "a.zip").write_bytes(zipped(w=b"w" * 1000))
    folder = locate(tmp_path / "a.zip")
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    DAMAGES[damage](folder / name)
    identity._digest_of.cache_clear()  # another process
    assert locate(tmp_path / "a.zip") == folder
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert "is damaged: unpacking again" in caplog.text
    assert not [p for p in cache.iterdir() if "tmp" in p.name]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_download_is_checked_before_use(cache, damage):
    content, asked = zipped(w=b"w" * 1000), []

    def answer(handler):
        asked.append(handler.command)
        reply(handler, content)

    with serving(answer) as url:
        folder = locate(f"{url}/m.zip")
        for file in folder.rglob("*"):
            file.unlink() if file.is_file() else None
        (file,) = cache.glob("*/model.zip")
        identity._digest_of.cache_clear()
        DAMAGES[damage](file)
        assert read_parts(locate(f"{url}/m.zip")) == {"units": "s3"}
    assert asked == ["GET", "GET"]


def cut(content):
    """A server that breaks off: first in the head of the file, then later."""
    breaks = [10, len(content) - 1]

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: breaks.pop(0) if breaks else None])
        handler.close_connection = True

    return answer


def test_a_connection_that_breaks_off(cache):
    content = zipped(w=os.urandom(100_000))
    with serving(cut(content)) as url:
        folder = locate(f"{url}/m.zip")
    assert (folder / "units/w").stat().st_size == 100_000
    assert locate(f"{url}/m.zip") == folder  # without a server


@pytest.mark.parametrize(
    "answer, message",
    [
        (lambda h: reply(h, b"<html>", 200), "is no zip or a damaged one"),
        (lambda h: reply(h, b"", 404), "could not be downloaded .*HTTP 404"),
        (lambda h: reply(h, b"", 503), "could not be downloaded .*HTTP 503"),
        (lambda h: reply(h, b"", 302, Location="/m.zip"), "could not be downloaded"),
        (lambda h: reply(h, b"", 302, Location="file:///etc/x"), "not be downloaded"),
    ],
)
def test_what_cannot_be_had_leaves_nothing(cache, answer, message):
    with serving(answer) as url:
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            locate(f"{url}/m.zip")
    assert not [p for p in cache.rglob("*") if p.is_file() and p.suffix != ".lock"], url


def test_jobs_that_download_together(cache):
    content, asked = zipped(w=os.urandom(1 << 20)), []

    def answer(handler):
        asked.append(1)
        reply(handler, content)

    found, errors = [], []

    def job():
        try:
            found.append((locate(f"{url}/m.zip") / "units/w").read_bytes())
        except Exception as error:
            errors.append(error)

    with serving(answer) as url:
        threads = [threading.Thread(target=job) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors and len(set(found)) == 1 and len(asked) == 1


def test_a_file_of_the_hubs_cache_heals(cache, monkeypatch):
    import hashlib

    import huggingface_hub

    files = {"parts.yaml": b"units: s3\n", "units/w": b"w" * 100}
    downloads = []

    def snapshot_download(name, revision, cache_dir, **_):
        downloads.append(revision)
        top = Path(cache_dir) / "models--user--name"
        for place, content in files.items():
            git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            large = hashlib.sha256(content).hexdigest()
            blob = top / "blobs" / (large if place == "units/w" else git)
            link = top / "snapshots" / "abc" / place
            for file in (blob, link):
                file.parent.mkdir(parents=True, exist_ok=True)
            if not blob.exists():
                blob.write_bytes(content)
            if not link.is_symlink():
                link.symlink_to(blob)
        return str(top / "snapshots" / "abc")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    folder = model_cache.hub_folder("user/name@v1")
    assert downloads == ["v1"] and (folder / "units/w").read_bytes() == files["units/w"]
    for name in files:
        for damage in (truncate, flip):
            damage((folder / name).resolve())
            identity._digest_of.cache_clear()
            assert model_cache.hub_folder("user/name@v1") == folder
            assert (folder / name).read_bytes() == files[name]
    assert len(downloads) == 1 + 4 * 2


@pytest.mark.parametrize("home", ["/proc/1/home", "/dev/null", "/sys", "relative"])
def test_no_home_to_write_to(home, tmp_path, monkeypatch, caplog):
    if home == "relative":
        (tmp_path / "file").touch()
        home = str(tmp_path / "file")
    monkeypatch.setenv("HOME", home)
    monkeypatch.delenv("TASTE_CACHE", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model_cache._temporary_cache.cache_clear()
    (tmp_path / "a.zip").write_bytes(zipped())
    folder = locate(tmp_path / "a.zip")
    model_cache._temporary_cache.cache_clear()
    assert folder.parent.parent == tmp_path and folder.parent.stat().st_mode & 0o77 == 0
    assert "models are kept in" in caplog.text and "set TASTE_CACHE" in caplog.text


def test_another_users_folder_among_the_temporary_ones(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    theirs = tmp_path / f"espnet2_taste-{os.getuid()}"
    for make in (lambda: theirs.mkdir(), lambda: theirs.symlink_to(tmp_path)):
        make()
        if not theirs.is_symlink():
            theirs.chmod(0o777)
        model_cache._temporary_cache.cache_clear()
        assert model_cache._temporary_cache("x") != theirs
        theirs.unlink() if theirs.is_symlink() else theirs.rmdir()
    model_cache._temporary_cache.cache_clear()


def test_a_given_cache_is_not_exchanged(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TASTE_CACHE", str(tmp_path / "file" / "x"))
    with pytest.raises(OSError, match="file/x: no cache can be made there"):
        model_cache.cache_folder()
    assert model_cache.cache_folder(tmp_path / "other") == tmp_path / "other"
    assert download.TIMEOUT > 0
