"""What is handed on is what the pack lists: no more, and nothing else."""

import zipfile

import pytest

from espnet2_taste.hub.pack import listed_files, write_parts, write_zip
from espnet2_taste.hub.published import open_published

PACKED = [
    "README.md",
    "meta.yaml",
    "parts.yaml",
    "taste/config.yaml",
    "taste/model.pth",
]


@pytest.fixture
def packed(tmp_path):
    folder = tmp_path / "packed"
    (folder / "taste").mkdir(parents=True)
    (folder / "taste" / "config.yaml").write_text("a: 1\n")
    (folder / "taste" / "model.pth").write_bytes(b"weights")
    write_parts(folder, {"taste": "model"})
    (folder / "README.md").write_text("# a model\n")
    (tmp_path / "secret").write_text("secret")
    return folder


MORE = [
    *(
        ".env",
        ".git/config",
        "taste/.netrc",
        "taste/model.pth~",
        "taste/checkpoint.pth",
    ),
    *("notes.txt", "taslm/model.pth", "wav/utt1.wav", ".digests.json", "a b [c].txt"),
    *("taste/config.resolved.yaml", "parts.yaml.bak", "__pycache__/x.pyc", "README"),
]


@pytest.mark.parametrize("name", MORE)
@pytest.mark.parametrize("link", [False, True])
def test_what_came_to_lie_there(packed, tmp_path, name, link):
    path = packed / name
    path.parent.mkdir(exist_ok=True)
    if link:
        path.symlink_to(tmp_path / "secret")
    else:
        path.write_text("secret")
    assert listed_files(packed) == PACKED
    write_zip(packed, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == PACKED


@pytest.mark.parametrize("name", PACKED)
def test_links_in_the_place_of_files(packed, tmp_path, name):
    (packed / name).unlink()
    (packed / name).symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match="pack it again|holds no options"):
        listed_files(packed)


def test_a_linked_folder(packed, tmp_path):
    (packed / "taste").rename(tmp_path / "elsewhere")
    (packed / "taste").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="or is a link: pack it again"):
        listed_files(packed)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda f: (f / "taste/model.pth").unlink(), "model.pth is not there"),
        (
            lambda f: (f / "taste/model.pth").write_bytes(b"weighty"),
            "has changed since",
        ),
        (lambda f: (f / "taste/config.yaml").write_text("a: 2\n"), "has changed since"),
        (lambda f: (f / "parts.yaml").unlink(), "parts.yaml is not there"),
        (lambda f: (f / "meta.yaml").unlink(), "no list of its files"),
        (lambda f: (f / "meta.yaml").write_text("a: 1\n"), "no list of its files"),
        (
            lambda f: (f / "meta.yaml").write_text("sha256: {../secret: x}"),
            "no list of",
        ),
        (
            lambda f: (f / "meta.yaml").write_text("sha256: {/etc/hosts: x}"),
            "no list of",
        ),
    ],
)
def test_a_pack_that_is_not_as_it_was(packed, change, message):
    change(packed)
    with pytest.raises(ValueError, match=message):
        listed_files(packed)


def test_the_card_may_be_edited_or_left_out(packed):
    (packed / "README.md").write_text("# another\n")
    assert listed_files(packed) == PACKED
    (packed / "README.md").unlink()
    assert listed_files(packed) == PACKED[1:]


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "llama_tokenizer/x", "a/b/c.json"]
)
def test_links_of_a_published_folder(tmp_path, name):
    (tmp_path / "secret").write_text("{}")
    link = tmp_path / "deep" / "hub" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match="is a link to .*secret: refused"):
        open_published(tmp_path / "deep" / "hub")
