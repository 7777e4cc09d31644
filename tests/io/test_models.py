"""Where a packed model comes from, and what is said when it is none."""

import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tiny_system import assert_same, packed_outputs

from espnet2_taste.inference import SpeechToTaste, load_part
from espnet2_taste.io.models import (
    find_checkpoint,
    find_part,
    is_tag,
    locate,
    read_parts,
)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def write_zip(path, **content):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in content.items():
            archive.writestr(name.replace("_yaml", ".yaml"), text)
    return path


def test_paths_and_tags(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("espnet/here").mkdir(parents=True)
    for path in (
        "espnet",
        "espnet/here",
        "exp/taste_rvq",  # no folder exp here either
        "./a/b",
        "/a/b",
        "~/a/b",
        "a/b/c",
        "a/b.zip",
        "a/b.pth",
        "a",
    ):
        assert not is_tag(path), path
    for tag in (
        "espnet/x",  # beside a folder of that name
        "user/name",
        "user/name@v1",
        "https://zenodo.org/x.zip?download=1",
    ):
        assert is_tag(tag), tag


def test_what_is_not_there_is_not_looked_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("espnet2_taste.io.models._packed", None)
    with pytest.raises(FileNotFoundError, match="exp/taste_rvq does not exist"):
        locate("exp/taste_rvq")


@pytest.mark.parametrize(
    "names,best",
    [
        (["valid.acc.best", "valid.loss.best", "3epoch"], "valid.loss.best"),
        (["valid.eer.best", "latest"], "valid.eer.best"),
        (["model"], "model"),
    ],
)
def test_the_best_checkpoint_of_a_folder(tmp_path, names, best):
    for name in names:
        (tmp_path / f"{name}.pth").touch()
    assert find_checkpoint(tmp_path) == tmp_path / f"{best}.pth"
    assert find_checkpoint(tmp_path / "a.pth") == tmp_path / "a.pth"
    for name in ("valid.acc.best", "valid.eer.best"):
        (tmp_path / f"{name}.pth").touch()
    with pytest.raises(FileNotFoundError, match="eer.best.*: name one checkpoint"):
        find_checkpoint(tmp_path)


def test_zip_is_unpacked_once_and_again_when_it_changed(home):
    file = write_zip(home / "a.zip", parts_yaml="units: world_vq\n")
    folder = locate(file, home / "cache")
    assert folder.parent == home / "cache" and read_parts(folder)["units"] == "world_vq"
    (folder / "mark").touch()
    moved = file.rename(home / "moved a.zip")
    assert locate(moved.rename(file), home / "cache") == folder
    assert (folder / "mark").exists()
    write_zip(file, parts_yaml="units: s3\n")
    other = locate(file, home / "cache")
    assert other != folder and read_parts(other)["units"] == "s3"


def test_half_unpacked_folder_is_unpacked_again(home):
    file = write_zip(home / "a.zip", parts_yaml="units: s3\n", b="b")
    folder = locate(file)
    (folder / "parts.yaml").unlink()
    (folder / "rest").touch()
    assert locate(file) == folder and not (folder / "rest").exists()


def test_jobs_that_start_together(home):
    file = write_zip(home / "a.zip", parts_yaml="units: s3\n", b="b" * 1000000)
    found, errors = [], []

    def job():
        try:
            folder = locate(file)
            found.append((folder, (folder / "b").stat().st_size))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=job) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and len(set(found)) == 1 and found[0][1] == 1000000


def test_zips_that_are_something_else(home):
    with pytest.raises(FileNotFoundError, match="gone.zip does not exist"):
        locate(home / "gone.zip")
    write_zip(home / "other.zip", a="a")
    with pytest.raises(ValueError, match="other.zip is no packed model.*bin.pack"):
        locate(home / "other.zip")
    (home / "text.zip").write_text("no zip")
    with pytest.raises(ValueError, match="text.zip is no zip or a damaged one"):
        SpeechToTaste.from_pretrained(home / "text.zip")
    asr = "files: {asr_model_file: m.pth}\nyaml_files: {asr_train_config: c.yaml}\n"
    write_zip(home / "asr.zip", meta_yaml=asr, c_yaml="a: 1", **{"m.pth": ""})
    with pytest.raises(ValueError, match="asr.zip is of another kind: .*asr_model"):
        locate(home / "asr.zip")


def test_damaged_zips(tiny_system, pack):
    file = pack()
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="tiny.zip is no zip or a damaged one"):
        SpeechToTaste.from_pretrained(file)
    at = content.index(b"FB") + 5000  # in some weights
    file.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
    with pytest.raises(ValueError, match=r"tiny.zip is damaged \(Bad CRC-32"):
        SpeechToTaste.from_pretrained(file)
    cache = Path("~/.cache/espnet_model_zoo").expanduser()
    assert not [path for path in cache.iterdir() if path.is_dir()]


def test_missing_parts_and_loaders(tiny_system, pack):
    folder = pack(output="tiny")
    (folder / "parts.yaml").write_text("taste: model\nvocoder: none_such\n")
    with pytest.raises(ValueError, match="tiny has no units, only taste, vocoder"):
        load_part(folder, "units")
    with pytest.raises(ValueError, match="none_such is no vocoder; choose from"):
        load_part(folder, "vocoder")
    with pytest.raises(ValueError, match="exp/units is no packed model with a units"):
        load_part("exp/units", "units")
    assert find_part("exp/units", "units") is None
    assert find_part("nowhere", "units") is None
    (folder / "parts.yaml").write_text("- taste\n")
    with pytest.raises(ValueError, match="parts.yaml holds no options"):
        read_parts(folder)


def test_url(tiny_system, pack, tmp_path, monkeypatch):
    expected = packed_outputs(pack())
    handler = partial(SimpleHTTPRequestHandler, directory=str(tiny_system / "exp"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    try:
        url = f"http://127.0.0.1:{server.server_port}/tiny.zip"
        cache = str(tmp_path / "cache")
        assert_same(packed_outputs(url, cache_dir=cache), expected)
        with pytest.raises(FileNotFoundError, match="gone.zip .*not be downloaded"):
            locate(url.replace("tiny", "gone"), cache)
    finally:
        server.shutdown()
        server.server_close()
    assert_same(packed_outputs(url, cache_dir=cache), expected)  # from the cache
