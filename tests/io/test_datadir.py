"""Data directories: what is wrong is said in one line; what is kept is in one order."""

import pytest

from espnet2_taste.bin import datadir as command
from espnet2_taste.io import datadir
from espnet2_taste.io.datadir_check import validate


@pytest.fixture
def folder(tmp_path):
    """Three utterances of two speakers, valid, with word times."""
    target = tmp_path / "set"
    target.mkdir()
    (target / "wav.scp").write_text("a-1 1.wav\na-2 2.wav\nb-1 3.wav\n")
    (target / "text").write_text("a-1 one\na-2 two words\nb-1 three\n")
    (target / "utt2spk").write_text("a-1 a\na-2 a\nb-1 b\n")
    (target / "spk2utt").write_text("a a-1 a-2\nb b-1\n")
    (target / "words.ctm").write_text(
        "a-1 1 0 1 one\na-2 1 0 1 two\na-2 1 1 1 words\nb-1 1 0 1 three\n"
    )
    return target


def test_valid(folder):
    assert validate(folder) == 3


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("text", "a-1 one\na-1 two\nb-1 x\n", r"text:2: id a-1 appears twice"),
        ("text", "a-1 one\nb-1 x\n", r"1 ids differ .* a-2 is in utt2spk but not in"),
        ("text", "a-1 one\na-2\nb-1 x\n", r"text: a-2 has empty text"),
        ("text", "a-2 x\na-1 one\nb-1 x\n", r"text is not sorted"),
        ("wav.scp", "a-1 1\na-2 2\nb-1 3\nc-1 4\n", r"c-1 is in wav.scp but not in"),
        ("spk2utt", "a a-1\nb b-1\n", r"spk2utt does not match utt2spk"),
        ("units.scp", "a-1 x.ark:1\n", r"2 ids differ between utt2spk and units.scp"),
        ("utt2spk", "", r"utt2spk has no utterance"),
    ],
)
def test_first_thing_wrong(folder, name, content, message):
    (folder / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        validate(folder)


def test_missing_file(folder):
    (folder / "text").unlink()
    with pytest.raises(FileNotFoundError, match="text is missing: run stage 1"):
        validate(folder)


def test_not_utf8(folder):
    (folder / "text").write_bytes(b"a-1 \xff\n")
    with pytest.raises(ValueError, match="text:1: not UTF-8"):
        validate(folder)


def test_fix_keeps_what_all_have(folder):
    (folder / "text").write_text("b-1 three\na-2\na-1 one\n")
    (folder / "units.scp").write_text("b-1 x:1\na-1 x:2\na-2 x:3\nz x:4\n")
    dropped = datadir.fix(folder)
    assert dropped["empty text"] == 1
    assert validate(folder) == 2
    assert (folder / "units.scp").read_text() == "a-1 x:2\nb-1 x:1\n"
    assert "a-2" not in (folder / "words.ctm").read_text()
    assert datadir.fix(folder) == {}


def test_fix_nothing_left(folder):
    (folder / "text").write_text("")
    with pytest.raises(ValueError, match="no utterance is left .* not in text"):
        datadir.fix(folder)


def test_segments(folder, tmp_path):
    (folder / "wav.scp").write_text("r1 1.wav\nr2 2.wav\n")
    (folder / "segments").write_text("a-1 r1 0 1\na-2 r1 1 2\nb-1 r2 0 1\n")
    assert validate(folder) == 3
    datadir.subset(folder, tmp_path / "sub", ["a-1"])
    assert (tmp_path / "sub" / "wav.scp").read_text() == "r1 1.wav\n"
    (folder / "wav.scp").write_text("r1 1.wav\n")
    with pytest.raises(ValueError, match="b-1 is cut from r2"):
        validate(folder)


def test_commands(folder, tmp_path, capsys):
    command.main(["validate", str(folder)])
    command.main(["subset", str(folder), str(tmp_path / "two"), "--spread", "2"])
    assert validate(tmp_path / "two") == 2
    keys = tmp_path / "keys"
    keys.write_text("b-1\nunknown\n")
    command.main(
        ["subset", str(folder), str(tmp_path / "b"), "--key_file", str(keys)]
        + ["--allow_missing"]
    )
    assert validate(tmp_path / "b") == 1
    with pytest.raises((ValueError, OSError), match="no utterance unknown"):
        command.main(
            ["subset", str(folder), str(tmp_path / "b"), "--key_file", str(keys)]
        )
    command.main(["utt2spk_to_spk2utt", str(folder / "utt2spk")])
    assert capsys.readouterr().out == (folder / "spk2utt").read_text()
    command.main(["spk2utt_to_utt2spk", str(folder / "spk2utt")])
    assert capsys.readouterr().out == (folder / "utt2spk").read_text()
    (folder / "text").write_text("b-1 three\n")
    command.main(["fix", str(folder)])
    assert validate(folder) == 1


def test_combine(folder, tmp_path):
    datadir.subset(folder, tmp_path / "x", ["a-1"])
    datadir.subset(folder, tmp_path / "y", ["b-1", "a-2"])
    assert datadir.combine([tmp_path / "y", tmp_path / "x"], tmp_path / "all") == 3
    for name in ("text", "wav.scp", "spk2utt"):
        assert (tmp_path / "all" / name).read_text() == (folder / name).read_text()
    with pytest.raises(ValueError, match="appears twice"):
        datadir.combine([folder, tmp_path / "x"], tmp_path / "all")


def test_merge(tmp_path):
    for number, line in ((1, "b x:1\n"), (2, "a x:2\n")):
        shard = tmp_path / f"output.{number}"
        shard.mkdir()
        (shard / "units.scp").write_text(line)
        (shard / "words.ctm").write_text(f"{line[0]} 1 1 1 w\n{line[0]} 1 0 1 v\n")
    command.main(["merge", str(tmp_path), str(tmp_path), "units.scp", "words.ctm"])
    assert (tmp_path / "units.scp").read_text() == "a x:2\nb x:1\n"
    ctm = (tmp_path / "words.ctm").read_text().splitlines()
    assert ctm == ["a 1 1 1 w", "a 1 0 1 v", "b 1 1 1 w", "b 1 0 1 v"]
    (tmp_path / "output.1" / "units.scp").write_text("a x:1\n")
    with pytest.raises((ValueError, OSError), match="id a is in another shard"):
        command.main(["merge", str(tmp_path), str(tmp_path), "units.scp"])
    with pytest.raises((ValueError, OSError), match="no shard to merge"):
        command.main(["merge", str(tmp_path), str(tmp_path), "other.scp"])
