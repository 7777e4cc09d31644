"""Published parts by name, from a stand-in for the hub."""

import hashlib
import json
import re
import threading
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from espnet2_taste.bin import download
from espnet2_taste.evaluate.scorers.utmos import REPOSITORY

REVISION = "b" * 40
CONTENT = {
    "flow.pt": b"flow" * 5000,
    "hift.pt": b"hift" * 5000,
    "campplus.onnx": b"campplus",
    "speech_tokenizer_v1.onnx": b"tokenizer",
    "llm.pt": b"not wanted",
}


class Hub(BaseHTTPRequestHandler):
    """A repository's list and files, with ranges; Llama is gated."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        state = self.server.state
        state.asked.append((self.command, self.path, self.headers["Range"]))
        if "Llama" in self.path:
            self.answer(b"{}", 403, {"X-Error-Code": "GatedRepo"})
        elif self.path.startswith("/api/models/"):
            files = [
                {
                    "rfilename": name,
                    "size": len(content),
                    "blobId": "0" * 40,
                    "lfs": {
                        "sha256": hashlib.sha256(content).hexdigest(),
                        "size": len(content),
                        "pointerSize": 100,
                    },
                }
                for name, content in CONTENT.items()
            ]
            info = {"id": "x/y", "sha": REVISION, "siblings": files}
            if "/tree/" in self.path:
                info = [
                    {"type": "file", "path": f["rfilename"], "oid": "0" * 40}
                    | {"size": f["size"], "lfs": {"oid": f["lfs"]["sha256"]} | f["lfs"]}
                    for f in files
                ]
            self.answer(json.dumps(info).encode())
        else:
            name = self.path.rpartition("/")[2]
            content = state.files[name]
            etag = hashlib.sha256(CONTENT[name]).hexdigest()
            headers = {"ETag": f'"{etag}"', "X-Repo-Commit": REVISION}
            self.answer(content, 200, headers)

    do_HEAD = do_GET

    def answer(self, content, status=200, headers=None):
        start = re.fullmatch(r"bytes=(\d+)-.*", self.headers["Range"] or "")
        if start and status == 200:
            status, content = 206, content[int(start[1]) :]
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": len(content)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@pytest.fixture
def hub(monkeypatch):
    from huggingface_hub import constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.state = types.SimpleNamespace(files=dict(CONTENT), asked=[])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield server.state
    server.shutdown()
    server.server_close()


def test_a_part_is_fetched_once(hub, tmp_path):
    words = ["cosyvoice", "--models_dir", str(tmp_path)]
    download.main(words)
    folder = tmp_path / "CosyVoice-300M"
    wanted = CONTENT.keys() - {"llm.pt"}
    assert {f.name for f in folder.iterdir() if f.is_file()} == wanted
    assert all((folder / name).read_bytes() == CONTENT[name] for name in wanted)
    hub.asked.clear()
    download.main(words)
    assert not [path for verb, path, _ in hub.asked if verb == "GET" and "flow" in path]


def test_a_damaged_file_is_not_kept(hub, tmp_path):
    hub.files["hift.pt"] = b"hifd" * 5000
    with pytest.raises(ValueError, match="hift.pt: damaged on its way, now deleted"):
        download.main(["cosyvoice", "--models_dir", str(tmp_path)])
    assert not (tmp_path / "CosyVoice-300M/hift.pt").exists()
    hub.files["hift.pt"] = CONTENT["hift.pt"]
    download.main(["cosyvoice", "--models_dir", str(tmp_path)])
    assert (tmp_path / "CosyVoice-300M/hift.pt").read_bytes() == CONTENT["hift.pt"]


def test_what_is_wrong_is_one_line(hub, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"Llama-3.2-1B is gated: accept its licence"):
        download.main(["llama", "--models_dir", str(tmp_path)])
    monkeypatch.delenv("TASTE_MODELS", raising=False)
    with pytest.raises(ValueError, match="set TASTE_MODELS"):
        download.main(["whisper"])
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        ValueError, match="CosyVoice-300M: not downloaded .*hf download"
    ):
        download.main(["cosyvoice", "--models_dir", str(tmp_path / "b")])


def test_what_one_lacks_does_not_keep_the_others_away(hub, tmp_path, monkeypatch):
    asked = []

    def load(repository, *_, **__):
        asked.append(repository)
        raise OSError("no network")

    monkeypatch.setenv("TASTE_MODELS", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(torch.hub, "load", load)
    monkeypatch.setattr(torch.hub, "set_dir", asked.append)
    with pytest.raises(ValueError, match="is gated.*HF_TOKEN; UTMOS.*no network"):
        download.main(["llama", "cosyvoice", "utmos", "--models_dir", str(tmp_path)])
    assert (tmp_path / "CosyVoice-300M/flow.pt").is_file()
    assert asked == [str(tmp_path / "torch_hub"), REPOSITORY]


def test_an_empty_variable_is_none(monkeypatch):
    monkeypatch.setenv("TASTE_MODELS", "")
    with pytest.raises(ValueError, match="set TASTE_MODELS"):
        download.main(["whisper"])
