import kaldiio
import numpy as np
import pytest
import soundfile

from espnet2_taste.io.audio import audio_identity, read_audio, to_pcm16


def test_rate_and_channels_are_converted(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([tone, tone], 1), 8000)
    wav = read_audio(str(path), "u")
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert wav.dtype == np.float32 and len(wav) == 16000
    assert wav[2000:-2000] == pytest.approx(expected[2000:-2000], abs=5e-3)


def test_ark_entries(tmp_path):
    samples = np.arange(-500, 500, dtype=np.int16)
    entry = str(tmp_path / "wav.ark"), str(tmp_path / "wav.scp")
    with kaldiio.WriteHelper(f"ark,scp:{entry[0]},{entry[1]}") as writer:
        writer["u"] = (16000, samples)
    value = (tmp_path / "wav.scp").read_text().split()[1]
    assert read_audio(value, "u") == pytest.approx(samples / 32768)
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
        ("sox x.wav |", ValueError, "u: wav.scp holds a command.*bin.format_wav"),
    ],
)
def test_bad_entries(tmp_path, monkeypatch, entry, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.wav").write_text("not audio")
    soundfile.write("whole.wav", np.zeros(1000), 16000)
    (tmp_path / "half.wav").write_bytes((tmp_path / "whole.wav").read_bytes()[:1000])
    with pytest.raises(error, match=message):
        read_audio(entry, "u")


def test_pcm16_clips():
    assert (
        to_pcm16(np.array([2.0, -2.0, 0.0]))
        == np.array([32767, -32767, 0], "<i2").tobytes()
    )
