"""Recordings of one's own."""

import json

import fake_corpora
import pytest

from espnet2_taste.bin.prepare_corpus import main as prepare_corpus
from espnet2_taste.io.audio import load_audio
from espnet2_taste.io.tables import read_table


def test_text_files(tmp_path, prepare):
    root = fake_corpora.own(tmp_path / "my voices", 8)
    found = prepare("folder", root)
    assert found.text["speaker1-take_3"] == "This is text 3."
    assert set(found.speakers.values()) == {"speaker0", "speaker1"}
    for key, entry in found.wavs.items():
        assert len(load_audio(entry, key)[0]) > 10000


def test_speech_alone(tmp_path):
    """With ``--no_text``, what has no text is kept: a recogniser follows."""
    root = fake_corpora.own(tmp_path / "own", 4)
    (root / "speaker1/take 3.txt").unlink()
    (tmp_path / "kaldi").mkdir()
    fake_corpora.write_audio(tmp_path / "mute/b.wav", 0.3)
    (tmp_path / "kaldi/wav.scp").write_text(f"u1 {tmp_path}/mute/b.wav\n")
    for name, texts in (("own", 3), ("mute", 0), ("kaldi", 0)):
        out = tmp_path / "data" / name
        options = ["--layout", "folder", "--root", str(tmp_path / name), "--parts"]
        prepare_corpus([*options, "all", "--output_dir", str(out), "--no_text"])
        assert len(read_table(out / "utt2spk")) == (4 if name == "own" else 1)
        assert (out / "text").is_file() == bool(texts)
        if texts:
            assert len(read_table(out / "text")) == texts


def test_parts_by_digest(tmp_path, prepare):
    fake_corpora.own(tmp_path / "own", 12)
    parts = [
        set(prepare("folder", tmp_path / "own", p).text)
        for p in ("train", "dev", "test")
    ]
    assert all(parts) and sum(map(len, parts)) == len(set.union(*parts)) == 12
    for i in range(20):
        fake_corpora.write_audio(tmp_path / f"more/{i}/a.wav", 0.1)
        fake_corpora.write(tmp_path / f"more/{i}/a.txt", "text")
    by_speaker = ("split=speaker", "dev=.3", "test=.3")
    options = [word for each in by_speaker for word in ("--layout_conf", each)]
    parts = [
        set(prepare("folder", tmp_path / "more", part, *options).speakers.values())
        for part in ("train", "dev", "test")
    ]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 20
    with pytest.raises(
        ValueError, match="no part eval: there are train, dev, test, all"
    ):
        prepare("folder", tmp_path / "own", "eval")


def test_parts_by_folder(tmp_path, prepare):
    for part in ("train", "eval"):
        fake_corpora.own(tmp_path / "own" / part, 4)
    assert prepare("folder", tmp_path / "own", "eval").count == 4
    assert "speaker0-take_0" in prepare("folder", tmp_path / "own", "train").text
    with pytest.raises(FileNotFoundError, match="no dev beside train"):
        prepare("folder", tmp_path / "own", "dev")


@pytest.mark.parametrize(
    "name, content",
    [
        ("metadata.csv", 'file_name,text,speaker_id\na.wav,"yes, I ""do""",ann\n'),
        (
            "metadata.csv",
            '\ufefffile_name,transcription,speaker\r\na.wav,"yes, I ""do""",ann\r\n',
        ),
        ("metadata.tsv", 'Speaker\tAudio\tSentence\nann\ta\tyes, I "do"\n'),
        (
            "metadata.jsonl",
            json.dumps(
                {"file_name": "a.wav", "text": 'yes, I "do"', "speaker_id": "ann"}
            ),
        ),
        ("metadata.csv", 'audio_file|text|speaker_name\na.wav|yes, I "do"|ann\n'),
        ("metadata.csv", '\ufeffID|Text|Speaker\r\na|"yes, I ""do"""|ann\r\n'),
        ("metadata.csv", 'path;sentence;client_id\na.wav;yes, I "do";ann\n'),
        ("metadata.csv", 'file_name\ttext\tspeaker\na.wav\tyes, I "do"\tann\n'),
        ("metadata.csv", 'a|raw|yes, I "do"\n'),
        ("metadata.csv", 'a|yes, I "do"\n'),
        ("metadata.tsv", 'a\tyes, I "do"\n'),
    ],
)
def test_tables(name, content, tmp_path, prepare):
    fake_corpora.write_audio(tmp_path / "own/wavs/a.wav")
    fake_corpora.write(tmp_path / "own" / name, content)
    found = prepare("folder", tmp_path / "own")
    assert found.text == {"a": 'yes, I "do"'}
    assert found.speakers == {"a": "ann" if "ann" in content else "a"}


def test_tables_of_parts(tmp_path, prepare):
    """Common Voice's and Coqui's: what other parts name is not said to be missed."""
    header = "client_id\tpath\tsentence_id\tsentence\tup_votes\n"
    for i in range(4):
        fake_corpora.write_audio(tmp_path / f"cv/clips/{i}.wav", 0.1)
        fake_corpora.write_audio(tmp_path / f"coqui/wavs/{i}.wav", 0.1)
    for part, rows in (("train", (0, 1)), ("dev", (2,)), ("test", (3, 4))):
        lines = [f'ann\t{i}.wav\tx{i}\t"take" {i}\t2\n' for i in rows]
        fake_corpora.write(tmp_path / f"cv/{part}.tsv", header + "".join(lines))
    assert prepare("folder", tmp_path / "cv", "train").text == {
        "0": '"take" 0',
        "1": '"take" 1',
    }
    found = prepare("folder", tmp_path / "cv", "test")
    assert found.speakers == {"3": "ann"}
    assert found.skipped == {"text without audio": ["4.wav"]}
    for part, i in (("train", 0), ("eval", 1)):
        row = f"audio_file|text|speaker_name\nwavs/{i}.wav|take {i}|bob\n"
        fake_corpora.write(tmp_path / f"coqui/metadata_{part}.csv", row)
    found = prepare("folder", tmp_path / "coqui", "eval")
    assert found.text == {"wavs-1": "take 1"} and found.speakers == {"wavs-1": "bob"}
    with pytest.raises(FileNotFoundError, match="no dev beside train"):
        prepare("folder", tmp_path / "coqui", "dev")


def test_bad_rows(tmp_path, prepare):
    root = tmp_path / "own"
    fake_corpora.write_audio(root / "a.wav")
    fake_corpora.write_audio(root / "b.wav")
    (root / "c.wav").write_bytes(b"")
    rows = [
        "file_name,text",
        "a.wav,one",
        "a.wav,again",
        "b.wav,",
        "c.wav,x",
        "d.wav,y",
    ]
    fake_corpora.write(root / "metadata.csv", "\n".join(rows))
    found = prepare("folder", root)
    assert found.count == 1
    assert found.skipped == {
        "audio without text": ["b.wav"],
        "audio file of zero bytes": [str(root / "c.wav")],
        "text without audio": ["d.wav"],
        "id that another utterance has, too": ["a"],
    }


def test_quotation_marks(tmp_path, prepare):
    """One that nothing closes costs its row; nothing is glued to another, silently."""
    root = tmp_path / "own"
    for i in range(1, 9):
        fake_corpora.write_audio(root / f"wavs/{i}.wav", 0.1)
    rows = [
        "file_name,text",
        '1.wav,"one she said',
        '"2.wav", two',
        '3.wav,three"',
        '4.wav,"four,\n\nand so, five"',
        '5.wav,"Five," he said',
        '6.wav,"six" and "seven"',
        '7.wav,"seven',
    ]
    fake_corpora.write(root / "metadata.csv", "\n".join(rows) + "\n")
    found = prepare("folder", root)
    assert found.text == {
        "2": "two",
        "3": 'three"',
        "4": "four, and so, five",
        "6": '"six" and "seven"',
    }
    names = ('1.wav,"one she said', '5.wav,"Five," he said', '7.wav,"seven')
    assert found.skipped == {
        "misplaced quotation mark in metadata.csv": list(names),
        "recording that metadata.csv does not name": [
            str(root / f"wavs/{i}.wav") for i in (1, 5, 7, 8)
        ],
    }
    fake_corpora.write(root / "metadata.csv", 'id|text\n1|"Yes," he said\n2|a|b\n')
    found = prepare("folder", root)
    assert found.text == {"1": '"Yes," he said'}
    assert found.skipped["row of metadata.csv longer than its header"] == ["2|a|b"]


def test_kaldi(tmp_path, prepare):
    root = tmp_path / "kaldi"
    wav = fake_corpora.write_audio(tmp_path / "long.wav", 3.0)
    fake_corpora.write(root / "wav.scp", f"b {wav}\na {wav}\nc sox {wav} -t wav - |\n")
    fake_corpora.write(root / "text", "b two\r\na\tone\tand a half\r\nd lost\r\n")
    found = prepare("folder", root)
    assert found.text == {"a": "one and a half", "b": "two"}
    assert found.speakers == {"a": "a", "b": "b"}
    assert found.skipped == {
        "text without audio": ["d"],
        "audio without text": ["c"],
    }
    fake_corpora.write(root / "utt2dur", "a 3.0\nb three\n")
    found = prepare("folder", root)
    assert found.seconds() == {"a": 3.0}
    assert found.skipped["its length is no number of seconds"] == ["b"]
    fake_corpora.write(root / "segments", "u2 a 1.0 2.5 1\nu1 a 0 1\nu3 a\n")
    fake_corpora.write(root / "text", "u1 one\nu2 two\nu3 three\n")
    fake_corpora.write(root / "utt2spk", "u1 ann\nu2 bob\n")
    found = prepare("folder", root)
    assert found.speakers == {"u1": "ann", "u2": "bob"}
    assert found.seconds() == {"u1": 1.0, "u2": 1.5}
    assert found.wavs == {"a": str(wav)}
    assert read_table(found.folder / "segments")["u2"] == "a 1.000 2.500 1"


def test_kaldi_ids_twice(tmp_path, prepare):
    root = tmp_path / "kaldi"
    wav = fake_corpora.write_audio(tmp_path / "long.wav", 3.0)
    tables = {"wav.scp": f"r {wav}\n", "text": "u one\nv two\nu three\n"}
    tables |= {"segments": "u r 0 1\nv r 1 2\nu r 2 3\n", "utt2spk": "u a\nu b\n"}
    for name, content in tables.items():
        fake_corpora.write(root / name, content)
    found = prepare("folder", root)
    assert found.text == {"u": "one", "v": "two"} and found.speakers["u"] == "a"
    assert read_table(found.folder / "segments")["u"] == "r 0.000 1.000"
    assert found.skipped == {
        f"id twice in {name}": ["u"] for name in ("text", "utt2spk", "segments")
    }


def test_odd_names(tmp_path, prepare):
    root = tmp_path / "own"
    for name in ("a/b c", "a/b_c", ".hidden", "._a", "e\u0301t\xe9"):
        fake_corpora.write_audio(root / f"{name}.wav")
        fake_corpora.write(root / f"{name}.txt", "text")
    fake_corpora.write(root / "a/z.m4a", "x")
    fake_corpora.write(root / "a/z.txt", "x")
    fake_corpora.write(root / "a/only.lab", "x")
    (root / "loop").symlink_to(root)
    (root / "broken.wav").symlink_to(root / "gone.wav")
    fake_corpora.write(root / "broken.txt", "x")
    found = prepare("folder", root)
    assert set(found.text) == {"a-b_c", "\xe9t\xe9"}
    assert {reason: len(names) for reason, names in found.skipped.items()} == {
        "macOS resource file": 2,
        ".m4a is not read: convert it with ffmpeg": 1,
        "text without audio": 1,
        "no such file, or a broken link": 1,
        "id that another utterance has, too": 1,
    }


def test_nothing_there(tmp_path, prepare):
    (tmp_path / "own").mkdir()
    with pytest.raises(FileNotFoundError, match="no recording with a text"):
        prepare("folder", tmp_path / "own", "train")
    with pytest.raises(ValueError, match="own train: no utterance is left"):
        fake_corpora.write_audio(tmp_path / "own/train/a.wav")
        prepare("folder", tmp_path / "own", "train")
