"""VCTK."""

import fake_corpora
import pytest


def numbers(found):
    return {int(utt.rpartition("_")[2]) for utt in found.text}


@pytest.mark.parametrize("version", ["0.92", "0.80"])
def test_by_sentence(version, tmp_path, prepare):
    fake_corpora.vctk(tmp_path, version, 39)
    parts = [prepare("vctk", tmp_path, p) for p in ("train", "dev", "eval")]
    train, dev, test = map(numbers, parts)
    assert test == set(range(35, 40)) and dev == set(range(30, 35))
    assert train == set(range(1, 30))
    assert set(parts[0].speakers.values()) == {"p225", "p280"}
    assert parts[0].text["p225_001"] == "Sentence 1."  # no microphone in ids


def test_by_speaker_shares_no_sentence(tmp_path, prepare):
    fake_corpora.vctk(tmp_path)
    parts = [
        prepare("vctk", tmp_path, part, "--layout_conf", "split=speaker")
        for part in ("train", "dev")
    ]
    assert set(parts[0].speakers.values()) == {"p225"}
    assert set(parts[1].speakers.values()) == {"p280"}
    assert min(numbers(parts[1])) == 25  # others are read by all


def test_what_lacks(tmp_path, prepare):
    root = fake_corpora.vctk(tmp_path, count=3)
    found = prepare("vctk", root, "train dev eval")
    assert found.count == 6
    assert len(found.skipped["audio without text"]) == 3  # p315
    found = prepare("vctk", root, "train dev eval", "--layout_conf", "mic=2")
    assert set(found.speakers.values()) == {"p225"}
    with pytest.raises(ValueError, match="mic is 1 or 2"):
        prepare("vctk", root, "train", "--layout_conf", "mic=3")
