"""Audio of every kind becomes mono of one rate, or is dropped for a reason given."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from espnet2.train.dataset import DATA_TYPES

from espnet2_taste.bin.format_wav import main
from espnet2_taste.io.audio import audio_rate, read_audio
from espnet2_taste.io.datadir_check import validate
from espnet2_taste.io.tables import read_table


def sine(rate: int, seconds: float, channels: int = 1) -> np.ndarray:
    wav = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)
    return np.stack([wav] * channels, axis=1) if channels > 1 else wav


def write_dir(folder, wavs: dict, texts: dict | None = None) -> None:
    folder.mkdir(exist_ok=True)
    texts = texts or {}
    lines = {
        "wav.scp": [f"{k} {v}\n" for k, v in wavs.items()],
        "text": [f"{k} {texts.get(k, 'a word')}\n" for k in wavs],
        "utt2spk": [f"{k} spk\n" for k in wavs],
    }
    for name, content in lines.items():
        (folder / name).write_text("".join(content))


def test_resample_and_mix(tmp_path, caplog):
    caplog.set_level("INFO")
    soundfile.write(tmp_path / "a.wav", sine(8000, 1.0), 8000)
    soundfile.write(tmp_path / "b.flac", sine(44100, 1.0, 2), 44100)
    soundfile.write(tmp_path / "c.wav", sine(16000, 1.0), 16000)
    wavs = {"u1": tmp_path / "a.wav", "u2": tmp_path / "b.flac"}
    wavs |= {"u3": tmp_path / "c.wav", "u4": f"cat {tmp_path / 'c.wav'} |"}
    write_dir(tmp_path / "in", wavs)
    main([str(tmp_path / "in"), str(tmp_path / "out"), "--nj", "2", "--fs", "16k"])
    assert validate(tmp_path / "out") == 4
    peaks = []
    for path in read_table(tmp_path / "out" / "wav.scp").values():
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        assert abs(info.frames - 16000) < 10
        wav, _ = soundfile.read(path)
        peaks.append(np.argmax(np.abs(np.fft.rfft(wav[:16000]))))
        assert np.abs(wav).max() == pytest.approx(0.3, abs=0.02)
    assert all(abs(peak - 440) <= 1 for peak in peaks)
    assert "1 resampled from 8000 Hz" in caplog.text
    assert "1 mixed down to mono" in caplog.text


def test_bad_input_is_counted(tmp_path, caplog):
    caplog.set_level("INFO")
    good = tmp_path / "good.wav"
    soundfile.write(good, sine(16000, 1.0), 16000)
    (tmp_path / "text.wav").write_text("this is not audio at all, only text" * 9)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "cut.wav").write_bytes(good.read_bytes()[:9000])
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    soundfile.write(tmp_path / "long.wav", sine(16000, 3.0), 16000)
    soundfile.write(tmp_path / "short.wav", sine(16000, 0.05), 16000)
    nan = sine(16000, 1.0)
    nan[100] = np.nan
    soundfile.write(tmp_path / "nan.wav", nan, 16000, subtype="FLOAT")
    names = ["absent", "text", "empty", "cut", "none", "long", "short", "nan", "good"]
    wavs = {name: tmp_path / f"{name}.wav" for name in names}
    wavs |= {"pipe": "false |", "silent": good}
    write_dir(tmp_path / "in", wavs, {"silent": ""})
    main(
        [
            str(tmp_path / "in"),
            str(tmp_path / "out"),
            "--max_wav_duration",
            "2.5",
            "--min_wav_duration",
            "0.1",
        ]
    )
    assert list(read_table(tmp_path / "out" / "utt2num_samples")) == ["good"]
    for part in (
        "absent: dropped: is missing",
        "text: dropped: is not readable audio",
        "empty: dropped: is not readable audio",
        "cut: dropped: is truncated",
        "none: dropped: has no samples",
        "long: dropped: longer than 2.5 s",
        "short: dropped: shorter than 0.1 s",
        "nan: dropped: holds samples that are no numbers",
        "pipe: dropped: command failed",
        "1 empty text",
        "kept 1 utterances",
        "dropped 10",
    ):
        assert part in caplog.text, part


@pytest.mark.parametrize("kind", ["ogg", "mp3", "wav"])
def test_shorter_than_the_corpus_says(kind, tmp_path, caplog):
    """Half a file has the whole text; the corpus may have rounded its lengths."""
    said = {"half": "4.0", "rounded": "2.4", "right": "2.000", "long": "9.0"}
    for name in said:
        seconds = 6.0 if name == "long" else 2.0
        soundfile.write(tmp_path / f"{name}.{kind}", sine(16000, seconds), 16000)
    write_dir(tmp_path / "in", {name: tmp_path / f"{name}.{kind}" for name in said})
    lines = [f"{name} {seconds}\n" for name, seconds in said.items()]
    (tmp_path / "in/utt2dur").write_text("".join(lines))
    command = [str(tmp_path / "in"), str(tmp_path / "out"), "--max_wav_duration", "3"]
    main(command)
    assert list(read_table(tmp_path / "out/utt2num_samples")) == ["right", "rounded"]
    assert "half: dropped: shorter than the corpus says: 2.0 s of 4.0 s" in caplog.text
    assert "long: dropped: longer than 3 s" in caplog.text
    (tmp_path / "in/utt2dur").write_text("half 4 s\n")
    with pytest.raises(ValueError, match="utt2dur:1: half: expected seconds, not '4 s"):
        main(command)


def test_segments(tmp_path):
    soundfile.write(tmp_path / "r.wav", sine(16000, 4.0), 16000)
    write_dir(tmp_path / "in", {"u1": "x", "u2": "x", "u3": "x"})
    (tmp_path / "in" / "wav.scp").write_text(f"rec {tmp_path / 'r.wav'}\n")
    (tmp_path / "in" / "segments").write_text("u1 rec 0 1.5\nu2 rec 2 3\nu3 rec 9 10\n")
    (tmp_path / "in" / "utt2dur").write_text("u1 1.5\nu2 1\nu3 1\n")
    main([str(tmp_path / "in"), str(tmp_path / "out")])
    lengths = read_table(tmp_path / "out" / "utt2num_samples")
    assert lengths == {"u1": "24000", "u2": "16000"}
    assert validate(tmp_path / "out") == 2


def test_ids_differ(tmp_path, caplog):
    caplog.set_level("INFO")
    soundfile.write(tmp_path / "a.wav", sine(16000, 1.0), 16000)
    write_dir(tmp_path / "in", {"u1": tmp_path / "a.wav", "u2": tmp_path / "a.wav"})
    (tmp_path / "in" / "text").write_text("u1 a word\n")
    main([str(tmp_path / "in"), str(tmp_path / "out")])
    assert "1 not in text" in caplog.text


def test_nothing_left(tmp_path):
    write_dir(tmp_path / "in", {"u1": tmp_path / "absent.wav"})
    with pytest.raises(
        (ValueError, OSError), match="no usable utterance .dropped: 1 is missing"
    ):
        main([str(tmp_path / "in"), str(tmp_path / "out")])
    with pytest.raises((ValueError, OSError), match="wav.scp is missing: run stage 1"):
        main([str(tmp_path / "nowhere"), str(tmp_path / "out")])
    before = (tmp_path / "in/wav.scp").read_text()
    with pytest.raises(ValueError, match="in would be overwritten"):
        main([str(tmp_path / "in"), str(tmp_path / "out/../in")])
    assert (tmp_path / "in/wav.scp").read_text() == before


@pytest.mark.parametrize("audio_format", ["wav", "flac", "flac.ark"])
def test_native_rate_and_formats(tmp_path, audio_format):
    wav = sine(24000, 1.0)
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", wav, 24000)
    write_dir(tmp_path / "in", {name: tmp_path / f"{name}.wav" for name in "ab"})
    out = tmp_path / "out"
    main([str(tmp_path / "in"), str(out), "--audio_format", audio_format])
    assert (out / "sample_rate").read_text() == "24000\n"
    assert read_table(out / "utt2num_samples") == {
        "a": "24000",
        "b": "24000",
    }
    entries = read_table(out / "wav.scp")
    kind = "kaldi_ark" if audio_format == "flac.ark" else "sound"
    espnet = DATA_TYPES[kind]["func"](str(out / "wav.scp"), float_dtype="float32")
    for key, entry in entries.items():
        assert audio_rate(entry) == 24000
        ours = read_audio(entry, key, 24000)
        assert ours == pytest.approx(wav, abs=1e-4)
        assert np.array_equal(espnet[key], ours)
    assert len({entry.split(":")[0] for entry in entries.values()}) == (
        1 if audio_format == "flac.ark" else 2
    )


def test_mixed_rates_become_the_highest(tmp_path, caplog):
    caplog.set_level("INFO")
    soundfile.write(tmp_path / "a.wav", sine(16000, 1.0), 16000)
    soundfile.write(tmp_path / "b.wav", sine(24000, 1.0), 24000)
    write_dir(tmp_path / "in", {name: tmp_path / f"{name}.wav" for name in "ab"})
    main([str(tmp_path / "in"), str(tmp_path / "out")])
    assert read_table(tmp_path / "out" / "utt2num_samples") == dict.fromkeys(
        "ab", "24000"
    )
    assert "rates of 16000, 24000 Hz; again, all at 24000 Hz" in caplog.text


def test_nothing_is_dropped_by_length_unless_asked(tmp_path):
    soundfile.write(tmp_path / "a.wav", sine(16000, 0.01), 16000)
    soundfile.write(tmp_path / "b.wav", sine(16000, 40.0), 16000)
    write_dir(tmp_path / "in", {name: tmp_path / f"{name}.wav" for name in "ab"})
    main([str(tmp_path / "in"), str(tmp_path / "out")])
    assert validate(tmp_path / "out") == 2


def test_ids_have_files_of_their_own(tmp_path):
    """a/b and a_b were one file; ../x left the folder."""
    ids = ["a/b", "a_b", "../x", ".", "..", "%2F", "x" * 250, "é"]
    wavs = {}
    for i, key in enumerate(ids):
        wavs[key] = tmp_path / f"{i}.wav"
        soundfile.write(wavs[key], np.full(1000 + i, 0.1 * i), 16000)
    write_dir(tmp_path / "in", wavs)
    main([str(tmp_path / "in"), str(tmp_path / "out")])
    entries = read_table(tmp_path / "out" / "wav.scp")
    for i, key in enumerate(ids):
        assert Path(entries[key]).is_relative_to(tmp_path / "out" / "wav")
        assert ".." not in Path(entries[key]).parts
        wav = read_audio(entries[key], key, 16000)
        assert len(wav) == 1000 + i and wav[0] == pytest.approx(0.1 * i, abs=1e-4)


@pytest.mark.parametrize("fs", ["16kHz", "fast"])
def test_no_rate(tmp_path, capsys, fs):
    with pytest.raises(SystemExit):
        main([str(tmp_path), str(tmp_path / "out"), "--fs", fs])
    assert f"{fs} is no sampling rate" in capsys.readouterr().err


def test_what_was_converted_before_a_kill_stays(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    from espnet2_taste.bin import format_wav
    from espnet2_taste.io.journal import Journal

    soundfile.write(tmp_path / "a.wav", sine(16000, 0.1), 16000)
    said, wav = tmp_path / "converted", tmp_path / "a.wav"
    wavs = {f"u{i}": f"echo u{i} >> {said}; cat {wav} |" for i in range(6)}
    write_dir(tmp_path / "in", wavs)
    monkeypatch.setattr(format_wav, "PART", 1)
    append, calls = Journal.append, []

    def killed(self, batch):
        calls.append(batch)
        if len(calls) == 3:
            raise KeyboardInterrupt
        append(self, batch)

    command = [str(tmp_path / "in"), str(tmp_path / "out")]
    monkeypatch.setattr(Journal, "append", killed)
    with pytest.raises(KeyboardInterrupt):
        main(command)
    assert not (tmp_path / "out" / "wav.scp").exists()
    said.unlink()
    monkeypatch.setattr(Journal, "append", append)
    main([*command, "--nj", "2"])
    assert sorted(said.read_text().split()) == ["u2", "u3", "u4", "u5"]
    assert validate(tmp_path / "out") == 6
    assert not list((tmp_path / "out").glob(".*"))
    said.unlink()
    monkeypatch.setattr(format_wav, "PART", 4)
    main(command)  # nothing is known of a finished one: its step's mark is
    assert len(said.read_text().split()) == 6
    assert caplog.text.count("6 converted") == 2  # and not 8
