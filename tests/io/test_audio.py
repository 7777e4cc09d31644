import kaldiio
import numpy as np
import pytest
import soundfile

from espnet2_taste.io.audio import (
    AudioError,
    audio_identity,
    audio_rate,
    load_audio,
    parse_rate,
    read_audio,
    to_pcm16,
)


def test_rate_and_channels_are_converted(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([tone, tone], 1), 8000)
    wav = read_audio(str(path), "u", 16000)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert wav.dtype == np.float32 and len(wav) == 16000
    assert wav[2000:-2000] == pytest.approx(expected[2000:-2000], abs=5e-3)


def test_ark_entries(tmp_path):
    samples = np.arange(-500, 500, dtype=np.int16)
    entry = str(tmp_path / "wav.ark"), str(tmp_path / "wav.scp")
    with kaldiio.WriteHelper(f"ark,scp:{entry[0]},{entry[1]}") as writer:
        writer["u"] = (16000, samples)
    value = (tmp_path / "wav.scp").read_text().split()[1]
    assert read_audio(value, "u", 16000) == pytest.approx(samples / 32768)
    assert audio_identity(value) != "missing"


def test_identity_follows_the_content(tmp_path):
    path = tmp_path / "a.wav"
    assert audio_identity(str(path)) == "missing"
    soundfile.write(path, np.zeros(100), 16000)
    first = audio_identity(str(path))
    soundfile.write(path, np.full(100, 0.1), 16000)
    assert audio_identity(str(path)) != first


@pytest.mark.parametrize(
    ("entry", "error", "message"),
    [
        ("none.wav", FileNotFoundError, "u: no audio file"),
        ("text.wav", ValueError, "u: .* is not readable audio"),
        ("half.wav", ValueError, "u: half.wav is truncated"),
        ("empty.wav", ValueError, "u: empty.wav has no samples"),
        ("nan.wav", ValueError, "u: nan.wav holds samples that are no numbers"),
        ("half.ark:2", ValueError, "u: half.ark:2 is not readable audio"),
        ("gone.ark:2", FileNotFoundError, "u: no audio file gone.ark:2"),
        ("sox x.wav |", ValueError, "u: wav.scp holds a command.*bin.format_wav"),
    ],
)
def test_bad_entries(tmp_path, monkeypatch, entry, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.wav").write_text("not audio")
    soundfile.write("whole.wav", np.zeros(1000), 16000)
    soundfile.write("empty.wav", np.zeros(0), 16000)
    soundfile.write("nan.wav", np.full(9, np.nan), 16000, "FLOAT")
    (tmp_path / "half.ark").write_bytes(b"u AUDIO\x08")
    (tmp_path / "half.wav").write_bytes((tmp_path / "whole.wav").read_bytes()[:1000])
    with pytest.raises(error, match=message):
        read_audio(entry, "u", 16000)


def test_pcm16_clips():
    assert (
        to_pcm16(np.array([2.0, -2.0, 0.0]))
        == np.array([32767, -32767, 0], "<i2").tobytes()
    )


def test_fewer_samples_than_stage_2_counted(tmp_path):
    path = str(tmp_path / "a.wav")
    soundfile.write(path, np.zeros(1000), 24000)
    assert len(read_audio(path, "u", 16000, num_samples=1000)) == 667
    with pytest.raises(ValueError, match="u: .* is truncated: 1000 of 1001 samples"):
        read_audio(path, "u", 16000, num_samples=1001)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_formats_and_rates(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(24000) / 24000)
    soundfile.write(path, tone, 24000)
    assert audio_rate(str(path)) == 24000
    for rate in (16000, 22050, 24000):
        wav = read_audio(str(path), "u", rate)
        assert abs(len(wav) - rate) < 0.1 * rate  # lossy codecs pad
        assert 0.45 < np.abs(wav).max() < 0.55


def test_flac_in_an_ark(tmp_path):
    samples = np.arange(-500, 500, dtype=np.int16)
    ark, flac = str(tmp_path / "wav.ark"), {"format": "flac"}
    kaldiio.save_ark(
        ark, {"u": (24000, samples)}, write_function="soundfile", write_kwargs=flac
    )
    value = f"{ark}:2"
    assert audio_rate(value) == 24000
    assert read_audio(value, "u", 24000) == pytest.approx(samples / 32768)


@pytest.mark.parametrize(
    ("text", "rate"), [("16k", 16000), ("22.05k", 22050), ("48000", 48000), (8, 8)]
)
def test_rates_as_people_write_them(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "k", "16kHz", "-1", "0", "1.5", "inf", "nan"])
def test_no_rate(text):
    with pytest.raises(ValueError, match=f"{text} is no sampling rate"):
        parse_rate(text)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3"])
def test_a_file_inside_another(tmp_path, suffix):
    wav = np.sin(np.arange(8000) / 9).astype("f4") / 2
    soundfile.write(tmp_path / f"a.{suffix}", wav, 16000)
    content = (tmp_path / f"a.{suffix}").read_bytes()
    (tmp_path / "b.tar").write_bytes(b"12345" + content + b"67890")
    entry = f"{tmp_path}/b.tar:5:{len(content)}"
    expected, rate = load_audio(f"{tmp_path}/a.{suffix}", "u")
    found, found_rate = load_audio(entry, "u")
    assert rate == found_rate and np.array_equal(expected, found)
    assert audio_rate(entry) == 16000
    assert load_audio(entry, "u", (0.1, 0.2))[0].shape == (1600, 1)
    (tmp_path / "b.tar").write_bytes(b"12345" + content[:-1])
    with pytest.raises(AudioError, match="u: .*b.tar:5:.* is truncated"):
        load_audio(entry, "u")
    with pytest.raises(FileNotFoundError, match="no audio file .*gone.tar:5:9"):
        load_audio(f"{tmp_path}/gone.tar:5:9", "u")
