"""Emilia in its layouts."""

import json
import tarfile

import fake_corpora
import pytest

from espnet2_taste.corpora.pseudo_labels import FILTERS
from espnet2_taste.io.audio import load_audio

LAYOUTS = (fake_corpora.emilia_tars, fake_corpora.emilia_jsonl)


def unpacked(root):
    """ESPnet's: a folder for each tar, which is gone."""
    fake_corpora.emilia_tars(root)
    for path in (root / "Emilia/EN").glob("*.tar"):
        with tarfile.open(path) as tar:
            tar.extractall(path.with_suffix(""), filter="data")
        path.unlink()
    return root / "Emilia/EN"


@pytest.mark.parametrize("make", [*LAYOUTS, unpacked])
def test_layouts(make, tmp_path, prepare):
    root = make(tmp_path / "emilia")
    found = prepare("emilia", root)
    assert found.count == 6 and not found.skipped
    key = "EN_B00001_S00000_W000001"
    assert found.text[key] == "You can help my mother 1."  # no space in front
    assert found.speakers[key] == "EN_B00001_S00000"
    assert found.seconds()[key] == 1.0
    wav, rate = load_audio(found.wavs[key], key)
    assert rate == 24000 and 23000 < len(wav) < 27000
    for part, shard in (("train", 0), ("dev", 1), ("test", 2), ("1-1", 1)):
        names = prepare("emilia", root, part).text
        assert {name[:9] for name in names} == {f"EN_B0000{shard}"}


def test_shards_by_pattern(tmp_path, prepare):
    fake_corpora.emilia_tars(tmp_path)
    assert prepare("emilia", tmp_path / "Emilia", "EN-B00000[02]").count == 4
    with pytest.raises(FileNotFoundError, match="no shard of part 7-9: there are 3"):
        prepare("emilia", tmp_path, "0-1 7-9")
    with pytest.raises(FileNotFoundError, match="no shard of language DE"):
        prepare("emilia", tmp_path, "", "--layout_conf", "language=DE")


def test_yodas(tmp_path, prepare):
    fake_corpora.emilia_tars(tmp_path / "a", 1)
    (tmp_path / "Emilia-YODAS").mkdir()
    folder = tmp_path / "Emilia-YODAS/EN"
    (tmp_path / "a/Emilia/EN").rename(folder)
    with tarfile.open(folder / "EN-B000000.tar") as tar:
        tar.extractall(folder / "EN-B000007", filter="data")
    for path in (folder / "EN-B000007").glob("*.json"):
        row = json.loads(path.read_text())
        row = {"_id": row.pop("id"), "phone_count": 9} | row
        del row["wav"]
        path.write_text(json.dumps(row))
    assert prepare("emilia", tmp_path, "7-7").count == 2


def test_truncated_tar(tmp_path, prepare):
    root = fake_corpora.emilia_tars(tmp_path, 1, 3)
    path = root / "Emilia/EN/EN-B000000.tar"
    whole = prepare("emilia", root)
    start = int(whole.wavs["EN_B00000_S00000_W000002"].rsplit(":", 2)[1])
    path.write_bytes(path.read_bytes()[: start + 100])
    found = prepare("emilia", root)
    assert found.count == 2
    reasons = list(found.skipped)
    assert "truncated or damaged tar" in reasons[0]
    assert reasons[1] == "text without audio"


@pytest.mark.parametrize("damage", ["cut", "header", "joined"])
def test_tar_that_tarfile_ends_in_silence(damage, tmp_path, prepare):
    path = fake_corpora.emilia_tars(tmp_path, 1, 3) / "Emilia/EN/EN-B000000.tar"
    content = bytearray(path.read_bytes())
    with tarfile.open(path) as tar:
        third = tar.getmembers()[4].offset
    if damage == "cut":
        del content[third:]
    elif damage == "header":
        content[third + 148] ^= 1  # of its checksum
    else:
        content += bytes(content)  # cat a.tar b.tar
    path.write_bytes(content)
    found = prepare("emilia", tmp_path)
    assert found.count == (3 if damage == "joined" else 2)
    reason = "rest of a truncated or damaged tar (no end of archive where it stops)"
    assert found.skipped == {reason: [str(path)]}


def test_bad_rows(tmp_path, prepare):
    root = fake_corpora.emilia_jsonl(tmp_path, 1, 6)
    folder = root / "raw/EN"
    rows = fake_corpora.emilia_rows(0, 6)
    rows[1]["duration"] = None
    rows[2]["text"] = "  "
    rows[3]["wav"] = "EN_B00000/gone.mp3"
    (folder / rows[4]["wav"]).write_bytes(b"")
    rows[5]["dnsmos"] = 2.0
    lines = [json.dumps(row) for row in rows] + ['{"id": "half', "", "[1]"]
    (folder / "EN_B00000.jsonl").write_text("\n".join(lines))
    found = prepare("emilia", root, "", "--layout_conf", "min_dnsmos=3")
    assert list(found.text) == ["EN_B00000_S00000_W000000"]
    assert {reason: len(names) for reason, names in found.skipped.items()} == {
        "json without text, speaker or duration": 1,
        "empty text": 1,
        "text without audio": 1,
        "audio file of zero bytes": 1,
        "DNSMOS below 3": 1,
        "damaged json": 2,
    }


@pytest.mark.parametrize("make", LAYOUTS)
@pytest.mark.parametrize("name", ["text", "speaker", "dnsmos"])
def test_null(name, make, tmp_path, prepare, monkeypatch):
    """It was the word None, a speaker None, or a wrong reason."""
    rows = fake_corpora.emilia_rows(0, 2)
    rows[0][name] = None
    monkeypatch.setattr(fake_corpora, "emilia_rows", lambda *_: rows)
    found = prepare("emilia", make(tmp_path, 1))
    reason, names = "json without text, speaker or duration", [rows[0]["id"]]
    assert found.skipped == ({} if name == "dnsmos" else {reason: names})


def test_not_unpacked(tmp_path, prepare):
    fake_corpora.write(tmp_path / "EN_B00008.jsonl", "{}\n")
    fake_corpora.write(tmp_path / "EN_B00008.tar.gz.0", "x")
    with pytest.raises(FileNotFoundError, match="unpack EN_B00008.tar.gz.0 first"):
        prepare("emilia", tmp_path)


@pytest.mark.parametrize(
    "text, speaker, f5, espnet",
    [
        ("You can help.", "EN_B00001_S00001", False, False),
        ("You can help.", "EN_B00013_S00913", True, False),
        ("I said \u3044.", "s", True, False),
        ("la la " * 12, "s", True, True),
        ("uh, uh, uh, uh, uh, uh", "s", False, True),
        ("Ooooooooooooh no, not that again my friend", "s", False, True),
        ("call 123,456,789,012,345 now please", "s", False, True),
        ("aaab", "s", False, True),
        ("1234567890", "s", False, False),
    ],
)
def test_filters(text, speaker, f5, espnet):
    found = {name: bool(rule(text, speaker)) for name, rule in FILTERS.items()}
    assert found == {"none": False, "f5": f5, "espnet": espnet}
