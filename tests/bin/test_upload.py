"""Upload to a stand-in for the hub, and open what lies there by its name."""

import base64
import hashlib
import json
import re
import runpy
import subprocess
import threading
import types
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from tiny_system import assert_same, packed_outputs

import espnet2_taste
from espnet2_taste.bin import run, upload
from espnet2_taste.hub.space import space_files
from espnet2_taste.io.models import locate

BUILT = version("torch").partition("+")[0]
REVISION = "a" * 40
REPO = "somebody/tiny-taste"


class Hub(BaseHTTPRequestHandler):
    """What huggingface_hub asks of its server: make, upload, list and download."""

    def log_message(self, *args):
        pass

    def answer(self, content=None, status=200, **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        hub = self.server.hub
        hub.requests.append((self.path, self.headers["Authorization"], body[:200]))
        if self.headers["Authorization"] != "Bearer hf_right":
            self.answer({"error": "Invalid user token"}, 401)
        elif self.path == "/api/validate-yaml":
            hub.cards.append(json.loads(body)["content"])
            self.answer({"errors": [], "warnings": []})
        elif self.path == "/api/repos/create":
            made = json.loads(body)  # newer clients say visibility
            hub.made.append(made)
            hub.private = made.get("private") or made.get("visibility") == "private"
            self.answer({"url": f"{hub.url}/{REPO}"})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": "regular"} for f in files]
            self.answer({"files": [m | {"shouldIgnore": False} for m in modes]})
        elif "/branch/" in self.path:
            hub.branches.append(self.path.rpartition("/")[2])
            self.answer({})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    value = line["value"]
                    hub.files[value["path"]] = base64.b64decode(value["content"])
            url = f"{hub.url}/{REPO}/commit/{REVISION}"
            self.answer({"commitUrl": url, "commitOid": REVISION})
        else:
            self.answer({"error": "not found"}, 404)

    def do_GET(self):
        hub = self.server.hub
        path = unquote(self.path.partition("?")[0])
        file = re.fullmatch(f"/{REPO}/resolve/[^/]+/(.*)", path)
        if file and file[1] in hub.files:
            content = hub.files[file[1]]
            etag = f'"{hashlib.sha1(content).hexdigest()}"'
            self.answer(content, ETag=etag, X_Repo_Commit=REVISION)
        elif path.startswith(f"/api/models/{REPO}/tree/"):
            tree = [
                {"type": "file", "path": name, "size": len(c), "oid": "0" * 40}
                for name, c in hub.files.items()
            ]
            self.answer(tree)
        elif path.startswith(f"/api/models/{REPO}"):
            siblings = [{"rfilename": name} for name in hub.files]
            self.answer({"id": REPO, "sha": REVISION, "siblings": siblings})
        else:
            self.answer({"error": "not found"}, 404)

    do_HEAD = do_GET


@pytest.fixture
def hub(monkeypatch):
    """The server; huggingface_hub talks to it, with the token ``hf_right``."""
    from huggingface_hub import constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    url = f"http://127.0.0.1:{server.server_port}"
    server.hub = types.SimpleNamespace(
        files={}, requests=[], branches=[], cards=[], made=[], private=None, url=url
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield server.hub
    server.shutdown()
    server.server_close()


def test_uploaded_model_opens_by_name(tiny_system, pack, hub, tmp_path, monkeypatch):
    file = pack("--name", REPO)
    expected = packed_outputs(file)
    upload.main(["--packed", str(file), "--repo", REPO, "--private"])
    assert hub.private is True and hub.branches == []
    assert {"meta.yaml", "README.md", "taste/model.pth"} <= hub.files.keys()
    assert hub.cards == [hub.files["README.md"].decode()] and REPO in hub.cards[0]
    monkeypatch.chdir(tmp_path)
    cache = str(tmp_path / "cache of another user")
    assert_same(packed_outputs(REPO, cache_dir=cache), expected)
    assert_same(packed_outputs(REPO, cache_dir=cache), expected)  # from the cache


def test_branch_and_folder(tiny_system, pack, hub):
    folder = pack(output="tiny", parts=["--taste", "exp/taste"])
    upload.main(["--packed", str(folder), "--repo", REPO, "--revision", "v1"])
    assert hub.branches == ["v1"] and not hub.private
    assert any("/commit/v1" in path for path, *_ in hub.requests)
    assert hub.files["meta.yaml"] == (folder / "meta.yaml").read_bytes()


def test_dry_run_needs_neither_network_nor_token(
    tiny_system, pack, hub, capsys, monkeypatch
):
    monkeypatch.delenv("HF_TOKEN")
    file = pack("--license", "apache-2.0")
    capsys.readouterr()
    upload.main(["--packed", str(file), "--repo", REPO, "--private", "--dry_run"])
    out = capsys.readouterr().out
    assert f"tiny.zip -> {REPO} at main (private if it is made)" in out
    with zipfile.ZipFile(file) as archive:
        size = archive.getinfo("taste/model.pth").file_size
    assert f"{size:>15,}  taste/model.pth" in out
    assert "license: apache-2.0" in out and "bytes in 15 files" in out
    assert hub.requests == []


def test_what_is_wrong_is_one_line(tiny_system, pack, hub, monkeypatch):
    def message(*options):
        with pytest.raises(SystemExit) as error:
            run(lambda: upload.main(list(options)))
        assert "\n" not in str(error.value)
        return str(error.value)

    file = str(pack(parts=["--taste", "exp/taste"]))
    assert "exp/units is no packed model" in message(
        *("--packed", "exp/units", "--repo", REPO)
    )
    assert "--repo tiny has no owner" in message("--packed", file, "--repo", "tiny")
    assert "Repo id must" in message("--packed", file, "--repo", "a b/c")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    wrong = message("--packed", file, "--repo", REPO)
    assert f"{REPO}: the hub refused the upload" in wrong and "401" in wrong
    monkeypatch.delenv("HF_TOKEN")
    assert message("--packed", file, "--repo", REPO) == (
        "error: no Hugging Face token: run `hf auth login`, or set HF_TOKEN"
    )
    assert hub.files == {}


def test_space_has_all_that_its_page_needs(tiny_system, pack, hub, capsys):
    file = str(pack("--name", REPO, "--license", "cc-by-4.0"))
    capsys.readouterr()
    upload.main(["--packed", file, "--repo", REPO, "--space", "--dry_run"])
    shown = capsys.readouterr().out
    assert f"tiny.zip -> Space {REPO} at main" in shown and "espnet2_taste/*" in shown
    assert f"build('{REPO}')" in shown and f"torch=={BUILT}" in shown
    assert hub.requests == []
    upload.main(["--packed", file, "--repo", REPO, "--space"])
    assert hub.made[-1]["type"] == "space" and hub.made[-1]["sdk"] == "gradio"
    assert any(path.startswith("/api/spaces/") for path, *_ in hub.requests)
    card = yaml.safe_load(hub.files["README.md"].decode().split("---")[1])
    assert card["models"] == [REPO] and card["license"] == "cc-by-4.0"
    assert card["sdk_version"] == version("gradio") and card["app_file"] == "app.py"
    root = Path(espnet2_taste.__file__).parents[1]
    listed = subprocess.run(
        ["git", "ls-files", "espnet2_taste"], cwd=root, capture_output=True, text=True
    )
    package = {name for name in hub.files if name.startswith("espnet2_taste/")}
    assert package >= set(listed.stdout.split())
    lines = hub.files["requirements.txt"].decode().split()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    assert not {"gradio", "pytest"} & {line.partition("==")[0] for line in lines}


def test_space_runs(tiny_system, pack, tmp_path):
    """Its app.py makes the page of the model."""
    file = str(pack())
    app = tmp_path / "app.py"
    app.write_bytes(space_files(file, locate(file))["app.py"])
    page = runpy.run_path(str(app), run_name="app")["page"]
    labels = {getattr(block, "label", None) for block in page.blocks.values()}
    assert {"Reconstruct", "Continue"} <= labels


def test_space_needs_a_voice(tiny_system, pack, hub):
    file = str(pack(parts=["--taste", "exp/taste"]))
    with pytest.raises(ValueError, match="no speaker and no vocoder, without which"):
        upload.main(["--packed", file, "--repo", REPO, "--space"])
    assert hub.requests == []
