"""LJSpeech."""

import fake_corpora
import pytest

from espnet2_taste.corpora.splits import by_digest, tail


def test_parts_and_normalised_text(tmp_path, prepare):
    root = fake_corpora.ljspeech(tmp_path, 9)
    found = [prepare("ljspeech", tmp_path, p).text for p in ("train", "dev", "eval1")]
    assert [len(part) for part in found] == [3, 3, 3]
    assert list(found[2]) == [f"LJ001-{i:04d}" for i in (7, 8, 9)]
    assert found[0]["LJ001-0001"] == 'or "forty-two line" 1'
    for place in (root, root / "wavs"):
        assert prepare("ljspeech", place, "train dev eval1").count == 9
    with pytest.raises(ValueError, match="no part test: there are train, dev, eval1"):
        prepare("ljspeech", root, "test")


def test_damaged_lines(tmp_path, prepare):
    root = fake_corpora.ljspeech(tmp_path, 3)
    table = root / "metadata.csv"
    table.write_text(
        "ID|text|normalised\n" + table.read_text() + "LJ001-0001|a|b\nLJ9|x\n"
        "LJ001-0099|gone|gone\n"
    )
    fake_corpora.write_audio(root / "wavs/LJ002-0001.wav")
    (root / "wavs/LJ001-0002.wav").write_bytes(b"")
    found = prepare("ljspeech", root, "train dev eval1")
    assert list(found.text) == ["LJ001-0001", "LJ001-0003"]
    assert found.skipped == {
        "line of metadata.csv without three fields": ["LJ9|x"],
        "id twice in metadata.csv": ["LJ001-0001"],
        "audio without text": [str(root / "wavs/LJ002-0001.wav")],
        "text without audio": ["ID", "LJ001-0099"],
        "audio file of zero bytes": [str(root / "wavs/LJ001-0002.wav")],
    }


def test_fewer_clips_than_published(tmp_path, prepare):
    root, whole = fake_corpora.ljspeech(tmp_path, 9), ("--layout_conf", "complete=true")
    (root / "wavs/LJ001-0009.wav").unlink()
    with pytest.raises(FileNotFoundError, match="1.1 has 8 of 13100 utterances: unpac"):
        prepare("ljspeech", root, "train", *whole)


def test_tail_is_espnets():
    names = [f"{i:05d}" for i in range(13100)]
    train, dev, test = tail(names, 250)
    assert (len(train), dev, test) == (12600, names[-500:-250], names[-250:])
    assert [len(part) for part in tail(names[:2], 250)] == [2, 0, 0]


def test_parts_by_digest_stay_when_a_corpus_grows():
    few = by_digest((f"utt{i}" for i in range(1000)), 0.05, 0.1)
    more = by_digest((f"utt{i}" for i in range(1500)), 0.05, 0.1)
    assert all(more[key] == part for key, part in few.items())
    parts = list(few.values())
    assert 20 < parts.count("dev") < 80 and 60 < parts.count("test") < 140
    assert sorted(by_digest("abc", 0.05, 0.05).values()) == ["dev", "test", "train"]
    assert set(by_digest("abc", 0, 0).values()) == {"train"}
