"""Sentences of spoken digits."""

import hashlib
import shutil

import fake_corpora
import pytest

from espnet2_taste.corpora.fsdd import DIGITS, FSDD
from espnet2_taste.io.audio import load_audio


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("fsdd")
    fake_corpora.fsdd(root, packed=True)
    return root


def test_parts_share_nothing(corpus, prepare, monkeypatch):
    used = {}
    join = FSDD.join

    def noting(self, recordings, rng):
        used[part].update(key for key, _ in recordings)
        return join(self, recordings, rng)

    monkeypatch.setattr(FSDD, "join", noting)
    texts, speakers = {}, {}
    for part in ("train", "dev", "test", "unseen"):
        used[part] = set()
        found = prepare("fsdd", corpus, part, "--layout_conf", "sentences=12")
        assert found.count == 12
        texts[part] = set(found.text.values())
        speakers[part] = set(found.speakers.values())
        for key, text in found.text.items():
            assert 3 <= len(text.split()) <= 6 and set(text.split()) <= set(DIGITS)
            wav, rate = load_audio(str(found.wavs[key]), key)
            assert rate == 8000
            assert len(wav) / rate == pytest.approx(found.seconds()[key], abs=1e-3)
            assert 0.3 * len(text.split()) < len(wav) / rate < 6 * 0.6
    assert speakers.pop("unseen") == {"theo"}
    assert set.union(*speakers.values()) == {"george", "jackson"}
    assert len(set.union(*texts.values())) == sum(map(len, texts.values()))
    assert {take for _, _, take in used["test"]} <= set(range(5))
    assert {take for _, _, take in used["dev"]} <= {5, 6, 7}
    assert {take for _, _, take in used["train"]} <= {8, 9}


def digest(found):
    return [
        hashlib.sha1(open(path, "rb").read()).hexdigest()
        for path in found.wavs.values()
    ]


def test_zip_and_folder_and_seed(corpus, prepare):
    few = ("--layout_conf", "sentences=5")
    archive = corpus / "free-spoken-digit-dataset-master.zip"
    first = digest(prepare("fsdd", archive, "train", *few))
    assert digest(prepare("fsdd", archive, "train", *few)) == first
    folder = corpus / "free-spoken-digit-dataset-master"
    for root in (corpus, folder, folder / "recordings"):
        assert digest(prepare("fsdd", root, "train", *few)) == first
    other = prepare("fsdd", folder, "train", *few, "--layout_conf", "seed=1")
    assert digest(other) != first


def test_damage(corpus, tmp_path, prepare):
    root = tmp_path / "fsdd/recordings"
    shutil.copytree(corpus / "free-spoken-digit-dataset-master/recordings", root)
    (root / "3_george_8.wav").write_bytes(b"RIFF no audio")
    (root / "odd.wav").write_bytes(b"x")
    found = prepare("fsdd", root, "train", "--layout_conf", "sentences=12")
    assert 0 < found.count < 12
    assert set(found.skipped) == {
        "no name like 7_theo_12.wav",
        "a recording of it is damaged",
    }
    for take in (8, 9):
        (root / f"3_george_{take}.wav").unlink()
    with pytest.raises(FileNotFoundError, match="no take of digit 3 by george among 8"):
        prepare("fsdd", root, "train")
    with pytest.raises(ValueError, match="no speaker lucas, or no other: george, jack"):
        prepare("fsdd", root, "train", "--layout_conf", "unseen=lucas")
    with pytest.raises(ValueError, match="no part all: there are train, dev, test, un"):
        prepare("fsdd", root, "all")
    archive = tmp_path / "half.zip"
    whole = (corpus / "free-spoken-digit-dataset-master.zip").read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="half.zip is truncated or damaged"):
        prepare("fsdd", archive, "train")
