"""Texts by a recogniser: a tiny Whisper end to end, and what is done with them."""

import json

import numpy as np
import pytest
import soundfile
from tiny_whisper import save_transformers

from espnet2_taste.asr.recording import Unavailable
from espnet2_taste.asr.whisper_recogniser import WhisperRecogniser
from espnet2_taste.bin.datadir import main as datadir
from espnet2_taste.bin.format_wav import main as format_wav
from espnet2_taste.bin.take_transcripts import main as take
from espnet2_taste.bin.transcribe import main as transcribe
from espnet2_taste.io.datadir_check import validate
from espnet2_taste.io.tables import read_table

CONF = ["language=", "max_new_tokens=8", "no_speech_threshold=null"]


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    return save_transformers(tmp_path_factory.mktemp("asr") / "whisper")


@pytest.fixture
def data(tmp_path):
    """Five utterances of noise, of different lengths, without text."""
    folder, rng = tmp_path / "data", np.random.default_rng(0)
    folder.mkdir()
    wavs = {}
    for i in range(5):
        wavs[f"u{i}"] = str(tmp_path / f"{i}.wav")
        wav = 0.1 * rng.normal(size=4000 + 1500 * (i * 3 % 5))
        soundfile.write(wavs[f"u{i}"], wav, 16000, "PCM_16")
    write(folder, "wav.scp", wavs)
    write(folder, "utt2spk", dict.fromkeys(wavs, "s"))
    write(folder, "spk2utt", {"s": " ".join(wavs)})
    return folder


def write(folder, name, table):
    (folder / name).write_text("".join(f"{k} {v}\n" for k, v in table.items()))


def heard_by(whisper, data, out, *more):
    transcribe(
        f"--data_dir {data} --output_dir {out} --asr whisper --asr_model {whisper}"
        f" --asr_conf {' '.join(CONF)}".split()
        + list(more)
    )
    return {name: (out / name).read_text() for name in ("text", "transcripts.jsonl")}


def rounded(made):
    """Without digits in which batches may differ."""
    lines = [json.loads(line) for line in made["transcripts.jsonl"].splitlines()]
    numbers = ("avg_logprob", "no_speech_prob", "language_prob")
    return made["text"], [
        {k: round(v, 3) if k in numbers else v for k, v in line.items()}
        for line in lines
    ]


def test_batches_shards_and_kills_change_nothing(whisper, data, tmp_path, monkeypatch):
    made = heard_by(whisper, data, tmp_path / "one", "--batch_size", "1")
    expected = rounded(made)
    assert [line["key"] for line in expected[1]] == [f"u{i}" for i in range(5)]
    assert {line["language"] for line in expected[1]} <= {"en", "de"}
    assert rounded(heard_by(whisper, data, tmp_path / "many")) == expected

    for i, keys in enumerate((["u0", "u3", "u4"], ["u1", "u2"]), 1):  # nj 2
        write(tmp_path, f"keys.{i}", dict.fromkeys(keys, ""))
        out = tmp_path / "jobs" / f"output.{i}"
        heard_by(whisper, data, out, "--key_file", str(tmp_path / f"keys.{i}"))
    datadir(["merge", str(tmp_path / "jobs"), str(tmp_path / "jobs")])
    names = ("text", "transcripts.jsonl")
    merged = {name: (tmp_path / "jobs" / name).read_text() for name in names}
    assert rounded(merged) == expected
    assert "Whisper" in (tmp_path / "jobs" / "transcribed_by").read_text()

    calls, original = [], WhisperRecogniser.transcribe

    class Killed(Exception):
        pass

    def counting(self, wavs):
        calls.append(len(wavs))
        if len(calls) == 3:
            raise Killed
        return original(self, wavs)

    monkeypatch.setattr(WhisperRecogniser, "transcribe", counting)
    out = tmp_path / "killed"
    with pytest.raises(Killed):
        heard_by(whisper, data, out, "--batch_size", "1")
    assert not (out / "text").exists()
    again = heard_by(whisper, data, out, "--batch_size", "1")
    assert rounded(again) == expected and len(calls) == 3 + 3  # two were done


def test_a_set_without_text_goes_through(whisper, data, tmp_path, caplog):
    caplog.set_level("INFO")
    audio, out = tmp_path / "audio", tmp_path / "org"
    format_wav([str(data), str(audio), "--no_text"])
    heard_by(whisper, audio, tmp_path / "asr")
    limits = ["--max_compression_ratio", "1e6", "--max_rate", "1e6"]
    folders = ["--data_dir", str(audio), "--transcripts", str(tmp_path / "asr")]
    take([*folders, "--output_dir", str(out), *limits])
    assert validate(out) == len(read_table(out / "text"))
    assert not (out / "text_given").exists() and (out / "utt2lang").exists()
    assert "no given text to compare transcripts with" in caplog.text
    summary = json.loads((out / "transcripts.json").read_text())
    assert summary["wer"] is None and "Whisper" in summary["transcribed_by"]
    assert summary["with_given_text"] == 0


@pytest.fixture
def transcripts(data, tmp_path):
    """Given texts, and what a recogniser made of them."""
    write(data, "utt2num_samples", dict.fromkeys(read_table(data / "wav.scp"), 16000))
    (data / "sample_rate").write_text("16000\n")
    given = dict(u0="One two.", u1="three four", u2="five", u3="six", u4="seven")
    write(data, "text", given)
    folder = tmp_path / "asr"
    folder.mkdir()
    (folder / "text").write_text("u0 one, two\nu1 three more\nu2\nu3 sechs\nu4 seven\n")
    languages = dict(u0="en", u1="en", u3="de", u4="en")
    (folder / "transcripts.jsonl").write_text(
        "".join(
            json.dumps({"key": u, "detected": language}) + "\n"
            for u, language in languages.items()
        )
    )
    (folder / "transcribed_by").write_text("an ear\n")
    return folder


def taken(data, transcripts, out, *more):
    folders = ["--data_dir", str(data), "--transcripts", str(transcripts)]
    take([*folders, "--output_dir", str(out), *more])
    return {name: read_table(out / name) for name in ("text", "text_given")}


def test_the_given_text_is_kept_beside(data, transcripts, tmp_path, caplog):
    caplog.set_level("INFO")
    made = taken(data, transcripts, tmp_path / "org")
    assert made["text"]["u0"] == "one, two" and made["text_given"]["u0"] == "One two."
    assert made["text"].keys() == {"u0", "u1", "u3", "u4"} == made["text_given"].keys()
    assert read_table(tmp_path / "org" / "utt2lang")["u3"] == "de"
    assert validate(tmp_path / "org") == 4
    # of seven words one is substituted in u1, u3 and one deleted (u2)
    assert "WER of 5 transcripts against the given text: 42.9%" in caplog.text
    assert "dropped 1 (nothing recognised): u2" in caplog.text
    assert (tmp_path / "org" / "skipped").read_text() == "nothing recognised\tu2\n"
    summary = json.loads((tmp_path / "org" / "transcripts.json").read_text())
    assert summary["transcribed_by"] == "an ear" and summary["compared"] == 5
    datadir(["subset", str(tmp_path / "org"), str(tmp_path / "sub"), "--first", "2"])
    assert list(read_table(tmp_path / "sub" / "text_given")) == ["u0", "u1"]


def test_filters_drop_and_count(data, transcripts, tmp_path, caplog):
    options = ["--language", "en", "--max_wer", "0.4", "--cleaner", "lower"]
    made = taken(data, transcripts, tmp_path / "org", *options)
    assert made["text"] == {"u0": "one two", "u4": "seven"}
    skipped = (tmp_path / "org" / "skipped").read_text().splitlines()
    assert [line.split("\t") for line in skipped] == [
        ["WER above 0.4", "u1"],
        ["nothing recognised", "u2"],
        ["language de", "u3"],
    ]
    kept = taken(data, transcripts, tmp_path / "all", *options, "--keep_all")
    assert kept["text"].keys() == {"u0", "u1", "u3", "u4"}  # a test set
    with pytest.raises(ValueError, match="no transcript can be used .*5 language"):
        (transcripts / "text").write_text("".join(f"u{i} x y\n" for i in range(5)))
        lines = [json.dumps({"key": f"u{i}", "language": "de"}) for i in range(5)]
        (transcripts / "transcripts.jsonl").write_text("\n".join(lines) + "\n")
        taken(data, transcripts, tmp_path / "none", "--language", "en")
    assert not (tmp_path / "none").exists()


def test_given_texts_of_some(data, transcripts, tmp_path):
    """Pieces of long utterances have a recogniser's text, the others their own."""
    given = read_table(data / "text")
    del given["u1"]
    write(data, "text", given)
    heard = {u: given.get(u, "three more") for u in read_table(data / "wav.scp")}
    write(transcripts, "text", heard)
    (transcripts / "transcripts.jsonl").write_text('{"key": "u1", "language": "en"}\n')
    made = taken(data, transcripts, tmp_path / "org", "--max_wer", "0.1")
    assert made["text"] == heard and made["text_given"] == heard
    summary = json.loads((tmp_path / "org" / "transcripts.json").read_text())
    assert summary["with_given_text"] == 4 and summary["compared"] == 0


def test_bad_input(whisper, data, transcripts, tmp_path):
    with pytest.raises(ValueError, match="no language 'klingon'"):
        taken(data, transcripts, tmp_path / "org", "--language", "klingon")
    write(transcripts, "text", {"u0": "x"})
    with pytest.raises(ValueError, match="text: u1 is missing"):
        taken(data, transcripts, tmp_path / "org")
    command = ["--data_dir", str(data), "--output_dir", str(tmp_path / "out")]
    command += ["--overwrite", "--asr", "whisper", "--asr_model"]
    with pytest.raises(Unavailable, match="no such folder"):
        transcribe([*command, str(tmp_path / "gone")])
    with pytest.raises(ValueError, match="no language 'klingon'; this model knows de"):
        transcribe([*command, str(whisper), "--asr_conf", "language=klingon"])
    (data / "wav.scp").write_text("")
    (data / "utt2num_samples").unlink()
    with pytest.raises(RuntimeError, match="the list is empty"):
        transcribe([*command, str(whisper)])
