"""Manifests of lhotse."""

import gzip
import json

import fake_corpora
import pytest

from espnet2_taste.corpora.abs_corpus import tidy_name
from espnet2_taste.io import sorting
from espnet2_taste.io.tables import read_table


def manifest(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def recording(path, name="r1", **changes):
    source = {"type": "file", "channels": [0], "source": str(path)} | changes
    return {"id": name, "sources": [source], "sampling_rate": 16000, "duration": 3.0}


def supervision(name, start, duration, **changes):
    row = {"id": name, "recording_id": "r1", "start": start, "duration": duration}
    return row | {"channel": 0, "text": f"Text of {name}", "speaker": "ann"} | changes


@pytest.fixture
def wav(tmp_path):
    return fake_corpora.write_audio(tmp_path / "long.wav", 3.0)


def test_recordings_and_supervisions(tmp_path, wav, prepare):
    root = tmp_path / "manifests"
    rows = [supervision("s1", 0, 1), supervision("s2", 1.0, 2.0)]
    rows += [supervision("s3", 0, 1, text=None), {"id": "s4"}]
    rows += [supervision("s5", 0, 1, recording_id="r9")]
    manifest(root / "x_recordings_dev-clean.jsonl.gz", [recording(wav)])
    manifest(root / "x_supervisions_dev-clean.jsonl.gz", rows)
    found = prepare("lhotse", root, "dev-clean")
    assert found.text == {"s1": "Text of s1", "s2": "Text of s2"}
    assert found.wavs == {"r1": str(wav)}
    assert found.seconds() == {"s1": 1.0, "s2": 2.0}
    assert read_table(found.folder / "segments")["s2"] == "r1 1.000 3.000"
    assert set(found.speakers.values()) == {"ann"}
    assert found.skipped == {
        "empty text": ["s3"],
        "text without audio": ["s5", "s4"],
    }
    with pytest.raises(FileNotFoundError, match="no manifest of clean-dev"):
        prepare("lhotse", root, "clean-dev")


def test_more_recordings_than_fit_into_memory(tmp_path, wav, prepare, monkeypatch):
    monkeypatch.setattr(sorting.sorted_lines, "__defaults__", (3,))
    names = ["b", "a b", "a", "a\t", "A"] + [f"r{i}" for i in range(20)]
    recordings = [recording(wav, name) for name in names]
    rows = [
        supervision(f"s{i}", i / 8, 1.0, recording_id=name)
        for i, name in enumerate([*names, *reversed(names)])
    ]
    recordings += [recordings[2], recording(tmp_path / "other.wav", "b")]
    manifest(tmp_path / "m/recordings.jsonl.gz", recordings)
    manifest(tmp_path / "m/supervisions.jsonl.gz", rows)
    found = prepare("lhotse", tmp_path / "m")
    assert found.count == 50
    segments = read_table(found.folder / "segments")
    assert {key: value.split()[0] for key, value in segments.items()} == {
        row["id"]: tidy_name(row["recording_id"]) for row in rows
    }
    assert found.skipped == {"recording whose id another has, too": ["b"]}


def test_cuts(tmp_path, wav, prepare):
    two = recording(wav, channels=[0, 1])
    cuts = [
        {"id": "c", "type": "MonoCut", "start": 1.0, "recording": recording(wav)}
        | {"supervisions": [supervision("s1", 0.5, 1.0)]},
        {"id": "d", "start": 0, "recording": recording(wav), "supervisions": []},
        {"id": "e", "type": "MixedCut", "tracks": []},
        {"id": "f", "start": 0, "recording": two}
        | {"supervisions": [supervision("s6", 0, 1)]},
        {"id": "g", "start": 0, "recording": recording("x", type="url")}
        | {"supervisions": [supervision("s7", 0, 1)]},
        {"id": "h", "start": 0, "recording": recording("cat x", "r2", type="command")}
        | {"supervisions": [supervision("s8", 0, 1)]},
    ]
    path = manifest(tmp_path / "cuts_train.jsonl.gz", cuts)
    found = prepare("lhotse", path)
    assert read_table(found.folder / "segments")["s1"] == "r1 1.500 2.500"
    assert found.wavs["r2"] == "cat x |"
    assert read_table(found.folder / "segments")["s6"] == "r1 0.000 1.000 0"
    assert found.count == 3
    assert found.skipped == {
        "audio without text": ["d"],
        "a MixedCut, not cut from one recording": ["e"],
        "audio of type url, not file or command": ["s7"],
    }
    path.write_bytes(path.read_bytes()[:-8])
    found = prepare("lhotse", path)
    assert found.count == 3
    assert any("truncated or damaged manifest" in reason for reason in found.skipped)
