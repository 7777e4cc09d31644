"""Transcripts of what has none, by an independent recogniser."""

import shutil

import numpy as np
import pytest
import soundfile

from espnet2_taste.bin.format_wav import main as format_wav
from espnet2_taste.bin.transcribe import main as transcribe
from espnet2_taste.io.tables import read_table


@pytest.fixture
def data(spoken_data, tmp_path):
    """Two spoken sentences, one of them as stereo of another rate, and silence."""
    out = tmp_path / "data"
    out.mkdir()
    wavs = dict(list(read_table(spoken_data / "wav.scp").items())[:2])
    wav, _ = soundfile.read(wavs["f-1"])
    loud = np.repeat(np.stack([wav, wav], 1), 2, axis=0)
    soundfile.write(tmp_path / "stereo.wav", loud, 32000, "PCM_16")
    soundfile.write(tmp_path / "silent.wav", np.zeros(800), 16000, "PCM_16")
    wavs |= {"f-1": str(tmp_path / "stereo.wav"), "s": str(tmp_path / "silent.wav")}
    for name, table in (("wav.scp", wavs), ("utt2spk", dict.fromkeys(wavs, "x"))):
        (out / name).write_text("".join(f"{k} {v}\n" for k, v in table.items()))
    return out


def options(spoken_data, data, out):
    command = ["--data_dir", str(data), "--output_dir", str(out)]
    return [*command, "--grammar", str(spoken_data / "grammar.jsgf")]


def test_transcripts_are_heard_and_empty_ones_are_dropped_later(
    spoken_data, data, tmp_path, caplog
):
    transcribe([*options(spoken_data, data, data), "--batch_size", "2"])
    expected = read_table(spoken_data / "text")
    heard = read_table(data / "text", allow_empty=True)
    assert heard == {"f-0": expected["f-0"], "f-1": expected["f-1"], "s": ""}
    assert "nothing recognised in 1 of 3 utterances, e.g. s" in caplog.text
    format_wav([str(data), str(tmp_path / "formatted")])
    assert read_table(tmp_path / "formatted" / "text").keys() == {"f-0", "f-1"}


def test_known_transcripts_stay(spoken_data, data, tmp_path, caplog):
    caplog.set_level("INFO")
    (data / "text").write_text("f-0 what it says here\ns silence\n")
    shutil.copy(data / "wav.scp", tmp_path / "keys")
    command = [*options(spoken_data, data, tmp_path / "out")]
    transcribe([*command, "--key_file", str(tmp_path / "keys")])
    heard = read_table(tmp_path / "out" / "text", allow_empty=True)
    assert heard["f-0"] == "what it says here" and heard["s"] == "silence"
    assert heard["f-1"] == read_table(spoken_data / "text")["f-1"]
    assert "1 utterances, by pocketsphinx" in caplog.text
    transcribe([*command, "--overwrite"])
    assert read_table(tmp_path / "out" / "text", allow_empty=True)["s"] == ""


def test_no_recogniser_is_needed_where_all_is_known(spoken_data, data, tmp_path):
    command = ["--data_dir", str(data), "--output_dir", str(data), "--asr", "none"]
    with pytest.raises(ValueError, match="3 utterances have no text: give --asr"):
        transcribe(command)
    (data / "text").write_text("f-0 a\nf-1 b\ns c\n")
    transcribe(command)
    assert read_table(data / "text", allow_empty=True) == {
        "f-0": "a",
        "f-1": "b",
        "s": "c",
    }


def test_unreadable_audio_has_no_transcript(spoken_data, data, caplog):
    (data / "odd.wav").write_bytes(b"not audio")
    with open(data / "wav.scp", "a") as lines:
        lines.write(f"odd {data}/odd.wav\nz {data}/gone.wav\n")
    transcribe(options(spoken_data, data, data))
    heard = read_table(data / "text", allow_empty=True)
    assert heard["odd"] == heard["z"] == "" and heard["f-0"]
    assert "no transcript of odd: " in caplog.text
    assert "no transcript of z: no audio file" in caplog.text
