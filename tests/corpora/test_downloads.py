"""Downloads from a local server that does what servers do."""

import hashlib
import io
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fake_corpora
import pytest

from espnet2_taste.bin.prepare_corpus import main
from espnet2_taste.corpora import downloads
from espnet2_taste.io.download import fetch_large

CONTENT = bytes(range(256)) * 400
WHOLE = len(CONTENT)
RIGHT = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Server(ThreadingHTTPServer):
    """Serves ``files``; ``cuts`` bytes at a time, with or without ranges."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.cut, self.ranges = {"a.bin": CONTENT}, None, True
        self.fails, self.requests = [], []
        self.lengths = True


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.requests.append(asked)
        content = server.files.get(self.path.strip("/"))
        if server.fails:
            return self.send_error(server.fails.pop(0))
        if content is None:
            return self.send_error(404)
        start, status = 0, 200
        if asked and server.ranges:
            start, status = int(asked.removeprefix("bytes=").rstrip("-")), 206
            if start >= len(content):
                return self.send_error(416)
        self.send_response(status)
        if server.lengths:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = None if server.cut is None else start + server.cut
        self.wfile.write(content[start:stop])


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def get(server, tmp_path):
    """Callable: downloads ``a.bin`` with resuming, and checks it by size and sum."""

    def call(name="a.bin", size=WHOLE, checksum=RIGHT):
        url = f"http://127.0.0.1:{server.server_port}/{name}"
        archive = downloads.Archive(url, size, checksum)
        return fetch_large(url, tmp_path / name, archive.check, pause=0)

    return call


@pytest.mark.parametrize("size", [len(CONTENT), None])
@pytest.mark.parametrize("cut", [None, 30_000])
@pytest.mark.parametrize("have", [0, 50_000])
def test_resumes(server, get, size, cut, have, tmp_path):
    server.cut = cut
    if have:
        (tmp_path / "a.bin.part").write_bytes(CONTENT[:have])
    assert get(size=size).read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
    assert server.requests[0] == (f"bytes={have}-" if have else None)
    count = len(server.requests)
    get(size=size)  # not again
    assert len(server.requests) == count


def test_server_without_ranges_or_lengths(server, get, tmp_path):
    server.ranges = server.lengths = False
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:500])
    assert get(size=None).read_bytes() == CONTENT


def test_half_finished_by_another_program(server, get, tmp_path):
    (tmp_path / "a.bin").write_bytes(CONTENT[:500])
    assert get().read_bytes() == CONTENT
    assert server.requests == ["bytes=500-"]


def test_complete_part(server, get, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    assert get().read_bytes() == CONTENT
    assert not server.requests


@pytest.mark.parametrize("have", [500, len(CONTENT), 2 * len(CONTENT)])
def test_part_of_something_else(get, have, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(b"x" * have)
    assert get().read_bytes() == CONTENT


def test_wrong_checksum(server, get, tmp_path):
    with pytest.raises(ValueError, match="its md5 is not 0"):
        get(checksum="md5:0")
    assert not list(tmp_path.iterdir())
    server.files["a.bin"] = CONTENT[:700]
    with pytest.raises(ValueError, match=f"700 bytes instead of {len(CONTENT)}"):
        get()


def test_connection_that_breaks(server, get, tmp_path):
    server.cut, server.ranges = 700, False  # starts anew each time
    with pytest.raises(OSError, match="700 bytes are in .*a.bin.part: run again to go"):
        get()
    server.cut, server.ranges = None, True
    assert get().read_bytes() == CONTENT
    assert server.requests[-1] == "bytes=700-"


def test_errors_of_the_server(server, get):
    server.fails = [503, 500]
    assert get().is_file()
    with pytest.raises(OSError, match="gone.bin: HTTP 404"):
        get("gone.bin")
    for codes, message in (([403], r"HTTP 403 \(it has to"), ([503] * 9, "503")):
        server.fails = list(codes)
        with pytest.raises(OSError, match=f"b.bin: .*{message}"):
            get("b.bin")
    server.shutdown()
    server.server_close()
    with pytest.raises(OSError, match="refused"):
        get("b.bin")


def archive(kind, files):
    data = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(data, "w") as out:
            for name, content in files.items():
                out.writestr(name, content)
    else:
        with tarfile.open(fileobj=data, mode=f"w:{kind}") as out:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))
    return data.getvalue()


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "", "zip"])
def test_unpack(kind, tmp_path):
    first, second = (tmp_path / f"{name}.{kind or 'tar'}" for name in "ab")
    first.write_bytes(archive(kind, {"X/one/a": b"1", "X/README": b"r"}))
    files = {"X/two/b": bytes(40_000), "X/README": b"r"}
    whole = archive(kind, files)
    second.write_bytes(whole[: len(whole) * 2 // 3])
    out = tmp_path / "out"
    downloads.unpack(first, out)
    with pytest.raises(ValueError, match="b.* is truncated, damaged or no archive"):
        downloads.unpack(second, out)
    assert sorted(p.name for p in (out / "X").iterdir()) == ["README", "one"]
    assert not downloads.complete_mark(out, second.name).exists()
    second.write_bytes(whole)
    downloads.unpack(second, out)
    assert sorted(p.name for p in (out / "X").iterdir()) == ["README", "one", "two"]
    (out / "X/two/b").unlink()
    second.unlink()
    downloads.unpack(second, out)  # done before


def test_archive_that_leaves_its_folder(tmp_path):
    path = tmp_path / "bad.tar"
    path.write_bytes(archive("", {"../outside": b"x"}))
    with pytest.raises(ValueError, match="bad.tar is truncated, damaged or no archive"):
        downloads.unpack(path, tmp_path / "out")
    assert not (tmp_path / "outside").exists()


def test_corpus(server, tmp_path, monkeypatch):
    """``--root downloads``: only what is missing comes."""
    made = {}
    for part, reader in (("dev-clean", "84"), ("test-clean", "1089")):
        root = fake_corpora.librispeech(tmp_path / part, {part: reader})
        files = {
            str(path.relative_to(root.parent)): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file()
        }
        made[f"{part}.tar.gz"] = archive("gz", files)
    server.files |= made
    table = tmp_path / "archives.txt"
    lines = ["# comment"]
    for name, content in made.items():
        digest = hashlib.sha256(content).hexdigest()
        part = name.removesuffix(".tar.gz")
        url = f"https://nowhere.invalid/12/{name}"
        lines.append(f"librispeech {part} {url} {len(content)} sha256:{digest}")
    table.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(downloads.fetch_corpus, "__defaults__", (None, table))
    monkeypatch.chdir(tmp_path)
    mirror = f"http://127.0.0.1:{server.server_port}"
    for parts, count in (["dev-clean"], 1), (["dev-clean", "test-clean"], 2):
        words = ["--layout", "librispeech", "--root", "downloads", "--mirror", mirror]
        words += ["--layout_conf", "complete=false"]  # a miniature
        main([*words, "--parts", *parts, "--output_dir", f"data/{count}"])
        assert len(server.requests) == count
        (tmp_path / "downloads/librispeech" / f"{parts[0]}.tar.gz").unlink(True)
    assert len((tmp_path / "data/2/text").read_text().splitlines()) == 4


def test_published_archives():
    found = {
        corpus: downloads.archives_of(corpus, ["dev-clean", "train-clean-360"])
        for corpus in (
            "librispeech",
            "libritts",
            "libritts_r",
            "ljspeech",
            "vctk",
            "fsdd",
        )
    }
    assert [len(files) for files in found.values()] == [2, 2, 2, 1, 1, 1]
    with pytest.raises(
        ValueError, match="no part dev-claen: there are dev-clean, dev-"
    ):
        downloads.archives_of("librispeech", ["test-clean", "dev-claen"])
    with pytest.raises(ValueError, match="give --parts: there are dev-clean, "):
        downloads.archives_of("libritts", [])
    assert found["librispeech"][0].size == 337926286
    assert found["libritts_r"][1].name == "train_clean_360.tar.gz"
    for files in found.values():
        for file in files:
            kind, _, digest = file.checksum.partition(":")
            assert len(digest) == {"sha256": 64, "md5": 32, "": 0}[kind]
