"""Long utterances become segments: nothing is copied, nothing is lost."""

import numpy as np
import pytest
import soundfile

from espnet2_taste.bin.format_wav import main as format_wav
from espnet2_taste.bin.split_long import main as split_long
from espnet2_taste.io.audio import read_audio
from espnet2_taste.io.datadir_check import validate
from espnet2_taste.io.segments import iterate_segments
from espnet2_taste.io.tables import read_table

RATE = 1000


def write(folder, name, table):
    (folder / name).write_text("".join(f"{k} {v}\n" for k, v in table.items()))


@pytest.fixture
def data(tmp_path):
    """25 s in a file; 0.5 s and 24 s of another; 12 s as a command; 3 s."""
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lengths = {"rec1": 25, "rec2": 30, "rec3": 12, "rec4": 3}
    entries = {}
    for name, seconds in lengths.items():
        wav = rng.uniform(-0.5, 0.5, RATE * seconds)
        entries[name] = str(tmp_path / f"{name}.wav")
        soundfile.write(entries[name], wav, RATE, "PCM_16")
    entries["rec3"] = f"cat {entries['rec3']} |"
    write(folder, "wav.scp", entries)
    segments = {"a": "rec1 0 -1", "b1": "rec2 1.5 2.0", "b2": "rec2 5.001 29.001 0"}
    write(folder, "segments", segments | {"c": "rec3 0 -1", "d": "rec4 0 -1"})
    write(folder, "utt2spk", dict.fromkeys(["a", "b1", "b2", "c", "d"], "s"))
    write(folder, "text", {u: f"words of {u}" for u in ("a", "b1", "b2", "c", "d")})
    return folder


def test_pieces_together_are_the_utterances(data, tmp_path, caplog):
    caplog.set_level("INFO")
    split_long([str(data), str(tmp_path / "cut"), "--max_wav_duration", "10"])
    assert "3 of 5 utterances over 10 s became 8 pieces" in caplog.text
    pieces = read_table(tmp_path / "cut" / "pieces")
    assert sorted(pieces) == list(pieces)
    text = read_table(tmp_path / "cut" / "text")
    assert text == {"b1": "words of b1", "d": "words of d"}  # pieces have none
    format_wav([str(data), str(tmp_path / "whole")])
    options = ["--no_text", "--max_wav_duration", "10"]
    format_wav([str(tmp_path / "cut"), str(tmp_path / "parts"), *options])
    whole = read_table(tmp_path / "whole" / "wav.scp")
    parts = read_table(tmp_path / "parts" / "wav.scp")
    assert parts.keys() == pieces.keys() | {"b1", "d"}
    for utt in ("a", "b2", "c"):
        own = [p for p, of in pieces.items() if of.split()[0] == utt]
        audio = [read_audio(parts[p], p, RATE) for p in own]
        assert max(map(len, audio)) <= 10 * RATE
        expected = read_audio(whole[utt], utt, RATE)
        assert np.array_equal(np.concatenate(audio), expected)


def test_word_times_divide_the_text(data, tmp_path, caplog):
    caplog.set_level("INFO")
    spoken = [f"W{i}." for i in range(48)]
    texts = read_table(data / "text") | {"b2": " ".join(spoken)}
    write(data, "text", texts)
    (data / "words.ctm").write_text(
        "".join(f"b2 1 {i / 2:.2f} 0.40 w{i}\n" for i in range(48)) + "d 1 0 1 hm\n"
    )
    split_long([str(data), str(tmp_path / "cut"), "--max_wav_duration", "10"])
    assert "1 cut between words; 2 cut where it is quiet" in caplog.text
    text = read_table(tmp_path / "cut" / "text")
    own = [text[piece] for piece in text if piece.startswith("b2-")]
    assert " ".join(own).split() == spoken and len(own) == 3
    lines = (tmp_path / "cut" / "words.ctm").read_text().splitlines()
    assert len(lines) == 49 and lines[-1] == "d 1 0 1 hm"
    segments = [segment for _, segment in iterate_segments(tmp_path / "cut")]
    assert [s.channel for s in segments if s.recording == "rec2"] == [None, 0, 0, 0]


def test_nothing_is_long(data, tmp_path, caplog):
    caplog.set_level("INFO")
    split_long([str(data), str(tmp_path / "cut"), "--max_wav_duration", "30"])
    assert "0 of 5 utterances over 30 s" in caplog.text
    for name in ("wav.scp", "text", "segments", "utt2spk"):
        assert read_table(tmp_path / "cut" / name) == read_table(data / name)
    assert validate(tmp_path / "cut") == 5


def test_what_cannot_be_split(data, tmp_path):
    with pytest.raises(ValueError, match="would be overwritten"):
        split_long([str(data), str(data)])
    write(data, "units.scp", dict.fromkeys(read_table(data / "text"), "x.ark:1"))
    with pytest.raises(ValueError, match="units.scp would have to be cut, too"):
        split_long([str(data), str(tmp_path / "cut"), "--max_wav_duration", "10"])
    assert not (tmp_path / "cut").exists()


def test_shorter_than_the_corpus_says(data, tmp_path, caplog):
    """Its text is not divided among what there is of it: format_wav drops it."""
    lengths = {"a": "25.000", "b1": "0.5", "b2": "24.0", "c": "15.2", "d": "3.3"}
    write(data, "utt2dur", lengths)
    split_long([str(data), str(tmp_path / "cut"), "--max_wav_duration", "10"])
    pieces = read_table(tmp_path / "cut" / "pieces")
    assert {of.split()[0] for of in pieces.values()} == {"a", "b2"}
    options = ["--no_text", "--max_wav_duration", "13"]
    format_wav([str(tmp_path / "cut"), str(tmp_path / "parts"), *options])
    kept = read_table(tmp_path / "parts" / "wav.scp").keys()
    assert kept == pieces.keys() | {"b1", "d"}
    assert "c: dropped: shorter than the corpus says: 12.0 s of 15.2 s" in caplog.text
