"""Kaldi's utils that corpora's local/data.sh call, by Kaldi's command lines."""

import subprocess
from pathlib import Path

import pytest

UTILS = Path(__file__).parents[2] / "local"
UTTS = ["a-1", "a-2", "a-3", "b-1", "b-2", "b-3"]


@pytest.fixture
def train(tmp_path):
    """data/train: two speakers with three utterances each; unsorted, no spk2utt."""
    folder = tmp_path / "train"
    folder.mkdir()
    for name, value in (("text", "the lamp"), ("wav.scp", "x.wav")):
        lines = [f"{utt} {value}\n" for utt in reversed(UTTS)]
        (folder / name).write_text("".join(lines))
    speakers = "".join(f"{utt} {utt[0]}\n" for utt in UTTS)
    (folder / "utt2spk").write_text(speakers)
    lengths = "".join(f"{utt} {9 - i}\n" for i, utt in enumerate(UTTS))
    (folder / "utt2dur").write_text(lengths)
    return folder


def util(name, *words, stdin=None, fails=False):
    done = subprocess.run(
        [str(UTILS / name), *map(str, words)],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr if fails else done.stdout


def ids(folder):
    return [line.split()[0] for line in (folder / "text").read_text().splitlines()]


def test_speaker_tables(train):
    made = util("utt2spk_to_spk2utt.pl", train / "utt2spk")
    assert made == "a a-1 a-2 a-3\nb b-1 b-2 b-3\n"
    assert util("utt2spk_to_spk2utt.pl", stdin=(train / "utt2spk").read_text()) == made
    back = util("spk2utt_to_utt2spk.pl", stdin=made)
    assert back == (train / "utt2spk").read_text()


def test_fix_and_validate(train):
    util("validate_data_dir.sh", "--no-feats", train, fails=True)
    (train / "text").write_text(
        (train / "text").read_text().replace("b-2 the lamp\n", "")
    )
    util("fix_data_dir.sh", "--utt-extra-files", "utt2lang", train)
    assert ids(train) == ["a-1", "a-2", "a-3", "b-1", "b-3"]
    assert (train / "spk2utt").read_text() == "a a-1 a-2 a-3\nb b-1 b-3\n"
    util("validate_data_dir.sh", "--no-feats", "--non-print", train)
    (train / "text").unlink()
    assert "text is missing" in util(
        "validate_data_dir.sh", "--no-feats", train, fails=True
    )
    util("fix_data_dir.sh", train)
    util("validate_data_dir.sh", "--no-feats", "--no-text", train)


@pytest.mark.parametrize(
    "options, count, kept",
    [
        ([], 3, ["a-1", "a-3", "b-2"]),
        (["--first"], 2, ["a-1", "a-2"]),
        (["--last"], 2, ["b-2", "b-3"]),
        (["--shortest"], 1, ["b-3"]),
        (["--per-spk"], 1, ["a-1", "b-1"]),
    ],
)
def test_subset(train, tmp_path, options, count, kept):
    util("fix_data_dir.sh", train)
    util("subset_data_dir.sh", *options, train, count, tmp_path / "some")
    assert ids(tmp_path / "some") == kept
    util("validate_data_dir.sh", tmp_path / "some")


def test_subset_of_lists_and_speakers(train, tmp_path):
    util("fix_data_dir.sh", train)
    (tmp_path / "list").write_text("b-1\na-2 more\nzz\n")
    util("subset_data_dir.sh", "--utt-list", tmp_path / "list", train, tmp_path / "u")
    assert ids(tmp_path / "u") == ["a-2", "b-1"]
    (tmp_path / "list").write_text("b\n")
    util("subset_data_dir.sh", "--spk-list", tmp_path / "list", train, tmp_path / "s")
    assert ids(tmp_path / "s") == UTTS[3:]
    util("subset_data_dir.sh", "--speakers", train, 3, tmp_path / "some")
    assert ids(tmp_path / "some") in (UTTS[:3], UTTS[3:])


def test_copy_and_combine(train, tmp_path):
    util("fix_data_dir.sh", train)
    options = ["--utt-prefix", "x-", "--spk-prefix=x-", "--validate-opts", "--no-text"]
    util("copy_data_dir.sh", *options, train, tmp_path / "copy")
    assert ids(tmp_path / "copy") == [f"x-{utt}" for utt in UTTS]
    (tmp_path / "copy/utt2dur").unlink()
    both = [train, tmp_path / "copy"]
    util("combine_data.sh", "--extra-files", "utt2lang", tmp_path / "all", *both)
    assert ids(tmp_path / "all") == UTTS + ids(tmp_path / "copy")
    assert not (tmp_path / "all/utt2dur").exists()
    util("validate_data_dir.sh", tmp_path / "all")
    message = util("combine_data.sh", tmp_path / "no", train, train, fails=True)
    assert f"{train} is named twice" in message


def test_combine_segments(train, tmp_path):
    segments = "".join(f"{utt} rec 0 {i + 1}\n" for i, utt in enumerate(UTTS))
    (train / "segments").write_text(segments)
    (train / "wav.scp").write_text("rec x.wav\n")
    util("fix_data_dir.sh", train)
    util("copy_data_dir.sh", "--utt-suffix", "-y", train, tmp_path / "copy")
    util("combine_data.sh", tmp_path / "all", train, tmp_path / "copy")
    assert (tmp_path / "all/wav.scp").read_text() == "rec x.wav\n"
    util("validate_data_dir.sh", tmp_path / "all")
    (tmp_path / "copy/segments").unlink()
    (tmp_path / "copy/wav.scp").write_text((tmp_path / "copy/text").read_text())
    args = (tmp_path / "no", train, tmp_path / "copy")
    assert "has no segments" in util("combine_data.sh", *args, fails=True)
