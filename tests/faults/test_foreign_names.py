"""Names from elsewhere (zips, servers, lists of files) lead nowhere but inside."""

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import reply, serving

from espnet2_taste.inference import load_part
from espnet2_taste.io.archive import is_inside, open_zip, unpack
from espnet2_taste.io.checkpoint import build_model_from_file
from espnet2_taste.io.config import read_arguments
from espnet2_taste.io.models import download, locate

OUTSIDE = [
    *("../x", "a/../../x", "/tmp/x", "//x/y", "..", "~/x", "~root/x", "./../x"),
    *("a\\..\\..\\x", "C:/x", "C:x", "a/\nb", "\x1b[2J", "a\u202eb", "x" * 300, ""),
]
LINK = stat.S_IFLNK | 0o777
ALPHABET = st.sampled_from([*"ab.~:\\/ \n\0%", "..", "../", "é", "\u2028"])


@given(st.lists(ALPHABET, max_size=8).map("".join))
@settings(max_examples=300, deadline=None)
def test_what_is_inside_stays_inside(name):
    if is_inside(name):
        joined = os.path.normpath(os.path.join("/some/model", name))
        assert joined == "/some/model" or joined.startswith("/some/model/")
        assert "\n" not in name and "\0" not in name


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A cache of the test's own, and what lies around it."""
    monkeypatch.setenv("TASTE_CACHE", str(tmp_path / "deep" / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path


def everything(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*")}


def write_zip(path, members, manifest="units: s3\n"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("parts.yaml", manifest)
        for name, mode in members:
            info = zipfile.ZipInfo("placeholder")
            info.filename = name
            info.external_attr = mode << 16
            archive.writestr(info, "../../x")
    return path


@pytest.mark.parametrize("name", [n for n in OUTSIDE if n])
def test_members_of_zips(home, name):
    path = write_zip(home / "a.zip", [("fine/b", 0o644), (name, 0o644)])
    before = everything(home)
    with pytest.raises(ValueError, match="a.zip: refused, for .*leads out of its fold"):
        locate(path)
    new = everything(home) - before
    assert all(n.startswith("deep") and not n.endswith(("x", "b")) for n in new)


@pytest.mark.parametrize("mode", [LINK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_in_zips(home, mode):
    path = write_zip(home / "a.zip", [("taste", mode), ("taste/x", 0o644)])
    with pytest.raises(ValueError, match="a.zip: refused, for taste is a link or dev"):
        locate(path)


def test_one_name_twice(home):
    with pytest.warns(UserWarning, match="Duplicate"):
        path = write_zip(home / "a.zip", [("b", 0o644), ("b", 0o644)])
    with pytest.raises(ValueError, match="it has b twice"):
        locate(path)


@pytest.mark.parametrize("kind", ["files", "yaml_files"])
@pytest.mark.parametrize("value", [*OUTSIDE, "gone.pth", 5, None, "."])
def test_names_in_the_list_of_an_espnet_model(home, kind, value):
    (home / "secret").write_text("a: 1\n")
    path = home / "a.zip"
    meta = {"files": {}, "yaml_files": {}, kind: {"asr_model_file": value}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("meta.yaml", yaml.safe_dump(meta))
    before = everything(home)
    with pytest.raises(ValueError, match="meta.yaml: .*(leads out|is not there)"):
        download(str(path))
    assert all(n.startswith("deep") for n in everything(home) - before)


def test_a_configuration_names_files_of_its_own_folder(home):
    config = {"bpe": "data/bpe.model", "up": "../../x", "word": "exp", "list": ["."]}
    with zipfile.ZipFile(home / "a.zip", "w") as archive:
        meta = {"files": {"model_file": "m.pth"}, "yaml_files": {"config": "c.yaml"}}
        for name, text in (
            ("meta.yaml", yaml.safe_dump(meta)),
            ("c.yaml", yaml.safe_dump(config)),
            ("data/bpe.model", ""),
            ("exp/x", ""),
            ("m.pth", ""),
        ):
            archive.writestr(name, text)
    files = download(str(home / "a.zip"))
    read = yaml.safe_load(Path(files["config"]).read_text())
    folder = Path(files["model_file"]).parent
    assert read == config | {"bpe": str(folder / "data/bpe.model")}


@pytest.mark.parametrize("value", ["./../x", "./a/../../x", "./x"])
def test_paths_of_a_packed_configuration(tmp_path, value):
    (tmp_path / "model").mkdir()
    (tmp_path / "x").touch()
    (tmp_path / "model" / "x").touch()
    config = tmp_path / "model" / "config.yaml"
    config.write_text(yaml.safe_dump({"token_model": value}))
    read = read_arguments(config).token_model
    assert read == (str(tmp_path / "model" / "x") if value == "./x" else value)


@pytest.mark.parametrize("name", OUTSIDE[:10] + ["url", "meta.yaml", 'a"; x="b'])
def test_the_servers_name_of_a_download(home, name):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("parts.yaml", "units: s3\n")
    header = f'attachment; filename="{name}"'
    with serving(
        lambda h: reply(h, buffer.getvalue(), Content_Disposition=header)
    ) as url:
        folder = locate(f"{url}/..%2f..%2fx.zip?download=1")
    assert folder.parent == home / "deep" / "cache"
    top = {path.name for path in folder.parent.iterdir() if path.is_dir()}
    assert len(top) == 2 and {p.name for p in home.iterdir()} == {"deep"}


def test_unpacking_by_hand_refuses_too(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("../x", 0o644)])
    (tmp_path / "to").mkdir()
    with open_zip(path) as archive, pytest.raises(ValueError, match="leads out"):
        unpack(archive, tmp_path / "to")
    assert not (tmp_path / "x").exists() and not list((tmp_path / "to").iterdir())


@pytest.mark.parametrize("inside", ["evil.py", "evil/__init__.py", "evil/deep/x.py"])
@pytest.mark.parametrize("where", ["in", "above"])
def test_classes_that_a_model_brings_along(tmp_path, monkeypatch, inside, where):
    """Python looks in the working directory, where a model may have been unpacked."""
    folder = tmp_path / "tiny"
    code = folder / inside
    code.parent.mkdir(parents=True, exist_ok=True)
    code.write_text("raise SystemExit('foreign code ran')\n")
    module = inside.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    name = f"{module}.X" if where == "in" else f"tiny.{module}.X"
    (folder / "parts.yaml").write_text(f"units: {name}\n")
    (folder / "config.yaml").write_text(f"encoder: {name}\n")
    torch.save({}, folder / "model.pth")
    monkeypatch.chdir(folder if where == "in" else tmp_path)
    monkeypatch.syspath_prepend("")
    with pytest.raises(ValueError, match="brings code of its own"):
        load_part(folder, "units")
    with pytest.raises(ValueError, match="brings code of its own"):
        build_model_from_file(None, folder / "config.yaml", folder / "model.pth")
