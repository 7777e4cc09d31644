"""Audio is read to its end, whatever its header says, and files as pipes."""

import io
import struct
import subprocess
import sys
import time
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile

from espnet2_taste.bin.format_wav import main
from espnet2_taste.io import commands
from espnet2_taste.io.audio import (
    AudioError,
    audio_identity,
    audio_rate,
    load_audio,
    read_audio,
)
from espnet2_taste.io.commands import CommandFailed, command_output
from espnet2_taste.io.tables import read_table

RATE = 16000
SECONDS = 4
#: Half a second of next to nothing first: MP3 of variable rate has small frames there.
NOISE = np.random.default_rng(0).standard_normal(RATE * SECONDS).astype("f") * 0.2
NOISE[: 2 * RATE] *= 1e-3
WAV_SIZE = 2 * len(NOISE)
FORMATS = [
    *(("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "ULAW"), ("NIST", "ULAW")),
    *(("WAV", "GSM610"), ("WAV", "IMA_ADPCM"), ("WAVEX", "PCM_16"), ("W64", "PCM_16")),
    *(("RF64", "PCM_16"), ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("NIST", "PCM_16")),
    *(("FLAC", "PCM_16"), ("OGG", "VORBIS")),
    *(("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")),
]


def encode(kind: str, subtype: str = "PCM_16", **options) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, NOISE, RATE, format=kind, subtype=subtype, **options)
    return file.getvalue()


def mp3_frame_size(head: bytes) -> int:
    """Of MPEG 2 layer III, which 16 kHz is."""
    kilobits = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]
    return 72 * 1000 * kilobits[head[2] >> 4] // RATE + (head[2] >> 1 & 1)


def bare_mp3(mode: str) -> bytes:
    """Without the first frame, which tells the length."""
    data = encode("MP3", "MPEG_LAYER_III", bitrate_mode=mode, compression_level=0.5)
    return data[mp3_frame_size(data) :]


def id3(size: int) -> bytes:
    """A tag in front of an MP3, such as a picture."""
    digits = bytes(size >> 7 * place & 127 for place in (3, 2, 1, 0))
    return b"ID3\x04\0\0" + digits + b"\xff" * size


@pytest.fixture(params=["file", "pipe"])
def read(request, tmp_path):
    """Reads bytes as a file and as what a command wrote."""

    def read(data: bytes, *args):
        (tmp_path / "a").write_bytes(data)
        entry = str(tmp_path / "a") if request.param == "file" else data
        return load_audio(entry, "u", *args)[0]

    return read


@pytest.mark.parametrize(("kind", "subtype"), FORMATS)
def test_whole_cut_and_limited(read, kind, subtype):
    data = encode(kind, subtype)
    wav = read(data)
    assert abs(len(wav) - len(NOISE)) < 600  # blocks are padded
    # from a place on, which seeks, and as far as a limit
    span = read(data, (1.0, 3.0))
    assert len(span) == 2 * RATE
    assert len(read(data, (1.0, None))) == len(wav) - RATE
    assert len(read(data, None, 1.00003)) == RATE + 1
    if subtype not in ("OPUS", "MPEG_LAYER_III"):  # which need a run-up
        assert np.array_equal(span, wav[RATE : 3 * RATE])
    for part in (0.5, 0.9):
        with pytest.raises(AudioError):
            read(data[: int(len(data) * part)])


@pytest.mark.parametrize(
    ("riff", "data"),
    [
        (0, 0),
        (36, 0),  # before its writer knew
        (0x7FFFF024, 0x7FFFF000),  # sox
        (0x7FFFFFFF, 0x7FFFFFFF),
        (0x80000024, 0x80000000),
        (0xFFFFFFFF, 0xFFFFFFFF),  # ffmpeg
        (0xFFFFFFFF, 0xFFFFFFDB),
        (0, WAV_SIZE),
        (0xFFFFFFFF, WAV_SIZE),
    ],
)
@pytest.mark.parametrize("extra", [b"", b"LIST\x04\0\0\0INFO"])
def test_streamed_wav_headers(read, riff, data, extra):
    wav = bytearray(encode("WAV"))
    wav[36:36] = extra  # a chunk before the samples
    start = 44 + len(extra)
    wav[4:8], wav[start - 4 : start] = struct.pack("<I", riff), struct.pack("<I", data)
    assert np.array_equal(read(bytes(wav)), read(encode("WAV")))
    assert len(read(bytes(wav), (3.5, None))) == RATE // 2
    assert len(read(bytes(wav), (3.5, 4.4))) == RATE // 2  # as Kaldi allows
    assert len(read(bytes(wav), None, 1.5)) == 1.5 * RATE + 1
    for span in ((4.0, None), (5.0, 6.0), (3.5, 4.6)):
        with pytest.raises(AudioError, match="ends before its segment does"):
            read(bytes(wav), span)
    cut = bytes(wav[: start + 6000])
    if data == WAV_SIZE:  # it is known
        with pytest.raises(AudioError, match="is truncated"):
            read(cut)
    else:
        assert len(read(cut)) == 3000


def test_no_samples_are_no_stream(read):
    wav = bytearray(encode("WAV")[:44])
    wav[4:8], wav[40:44] = struct.pack("<I", 36), struct.pack("<I", 0)
    with pytest.raises(AudioError, match="has no samples"):
        read(bytes(wav))


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE", "AVERAGE"])
@pytest.mark.parametrize("tag", [0, 100, 90000])
def test_mp3_of_unknown_length(read, mode, tag):
    data = bare_mp3(mode)
    frames, place = 0, 0
    while place + 4 < len(data):
        place += mp3_frame_size(data[place:])
        frames += 576
    front = id3(tag) if tag else b""
    wav = read(front + data + b"TAG" + b" " * 125)
    assert len(wav) == frames >= len(NOISE)
    assert wav[-RATE:].std() > 0.05  # the loud part, too
    assert len(read(front + data, (1.0, 2.5))) == 1.5 * RATE
    assert len(read(front + data, None, 1.0)) == RATE + 1
    assert len(read(front + data[: len(data) // 2])) > 0.2 * frames


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_joined_mp3(read, mode):
    """The header of the first file says how long that is."""
    data = encode("MP3", "MPEG_LAYER_III", bitrate_mode=mode, compression_level=0.5)
    assert len(read(data)) == len(NOISE)
    assert 2 * len(NOISE) <= len(read(data + data)) < 2 * len(NOISE) + 5000
    assert len(read(data + b"APETAGEX" + b"x" * 900)) == len(NOISE)


@pytest.mark.parametrize("total", [0, (1 << 36) - 1])
def test_streamed_flac(read, total):
    flac = bytearray(encode("FLAC"))
    flac[21] = flac[21] & 0xF0 | total >> 32
    flac[22:26] = struct.pack(">I", total & 0xFFFFFFFF)
    assert np.array_equal(read(bytes(flac)), read(encode("FLAC")))
    assert len(read(bytes(flac), (1.0, 2.0))) == RATE


def test_streamed_au(read):
    au = bytearray(encode("AU"))
    au[8:12] = b"\xff" * 4
    assert len(read(bytes(au))) == len(NOISE)


@pytest.mark.parametrize("dtype", ["int16", "uint8"])
def test_arks_of_espnet(tmp_path, dtype):
    """wav.ark and flac.ark, as ESPnet's dump has them."""
    unit = 0.9 * np.sin(np.arange(8000) / 9)
    scaled = 127 * unit + 128 if dtype == "uint8" else 32767 * unit
    samples = scaled.round().astype(dtype)
    paths = f"ark,scp:{tmp_path}/w.ark,{tmp_path}/w.scp"
    with kaldiio.WriteHelper(paths) as writer:
        writer["a"] = writer["b"] = 8000, samples
    entry = read_table(tmp_path / "w.scp")["b"]
    assert read_audio(entry, "b", 8000) == pytest.approx(unit, abs=0.02)
    assert len(load_audio(entry, "b", (0.5, None))[0]) == 4000
    with pytest.raises(AudioError, match="ends before its segment does"):
        load_audio(entry, "b", (0.5, 2.0))


@pytest.mark.parametrize("kind", ["wav", "flac", "audio", "slice"])
def test_recordings_inside_other_files(tmp_path, kind):
    """Their identity is their content, and a cut file is noticed."""
    samples = (NOISE * 32767).astype("int16")
    path = tmp_path / "x.ark"
    if kind == "slice":
        content = encode("FLAC")
        path.write_bytes(b"x" * 99 + content + b"y" * 99)
        entry = f"{path}:99:{len(content)}"
    else:
        how = {} if kind == "wav" else {"write_function": "soundfile"}
        if kind == "flac":
            how["write_kwargs"] = {"format": "flac"}
        kaldiio.save_ark(str(path), {"u": (RATE, samples)}, **how)
        entry = f"{path}:2"
    assert read_audio(entry, "u", RATE) == pytest.approx(NOISE, abs=1e-4)
    assert audio_rate(entry) == RATE
    first = audio_identity(entry)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(AudioError):
        read_audio(entry, "u", RATE)
    assert audio_identity(entry) != first
    path.write_bytes(data)
    assert audio_identity(entry) == first
    assert audio_identity(f"{path}.gone:2") == "missing"


def data_dir(folder: Path, entries: dict[str, object], **tables: str) -> Path:
    folder.mkdir()
    keys = (
        entries
        if "segments" not in tables
        else [line.split()[0] for line in tables["segments"].splitlines()]
    )
    tables = {
        "wav.scp": "".join(f"{k} {v}\n" for k, v in entries.items()),
        "text": "".join(f"{k} a word\n" for k in keys),
        "utt2spk": "".join(f"{k} s\n" for k in keys),
    } | tables
    for name, text in tables.items():
        (folder / name).write_text(text)
    return folder


def test_stage_2_reads_what_espnet_writes_and_says_what_is_no_speech(tmp_path, caplog):
    caplog.set_level("INFO")
    tone = 0.5 * np.sin(np.arange(RATE) / 9)
    audio = {
        "anti": np.stack([tone, -tone], 1),
        "both": np.stack([tone, 0.5 * tone], 1),
        "hiss": 1e-5 * np.stack([tone, -tone], 1),
        "mono": tone,
        "nan": np.where(np.arange(RATE) == 5, np.nan, tone),
        "infinite": np.where(np.arange(RATE) == 5, np.inf, tone),
        "zero": np.zeros(RATE),
    }
    entries = {name: tmp_path / f"{name}.wav" for name in audio}
    for name, wav in audio.items():
        soundfile.write(entries[name], wav, RATE, "FLOAT")
    ark = kaldiio.WriteHelper(f"ark,scp:{tmp_path}/x.ark,{tmp_path}/x.scp")
    with ark as writer:
        writer["ark"] = RATE, (tone * 32767).astype("int16")
    entries |= read_table(tmp_path / "x.scp")
    main([str(data_dir(tmp_path / "in", entries)), str(tmp_path / "out")])
    kept = read_table(tmp_path / "out" / "utt2num_samples")
    assert set(kept) == {"anti", "both", "hiss", "mono", "zero", "ark"}
    for part in (
        "2 silent (below -80 dB), e.g. hiss",
        "1 nearly silent, for their channels cancel out",
        "e.g. anti",
        "kept 6",
        "dropped 2: 2 holds samples that are no numbers",
    ):
        assert part in caplog.text, part


def test_segments_as_kaldi_has_them(tmp_path, caplog):
    left, right = np.full(4 * RATE, 0.1), np.full(4 * RATE, 0.3)
    soundfile.write(tmp_path / "r.wav", np.stack([left, right], 1), RATE)
    lines = {
        "end": "r 2.5 -1",
        "left": "r 0 1 0",
        "right": "r 0 1 1",
        "both": "r 0 1",
        "third": "r 0 1 2",
        "over": "r 3 4.4",
        "late": "r 5 6",
        "backward": "r 2 1",
        "nothing": "r 2 2",
        "before": "r -2 2",
        "absent": "q 0 1",
    }
    segments = "".join(f"{k} {v}\n" for k, v in lines.items())
    folder = data_dir(tmp_path / "in", {"r": tmp_path / "r.wav"}, segments=segments)
    main([str(folder), str(tmp_path / "out")])
    lengths = read_table(tmp_path / "out" / "utt2num_samples")
    wavs = read_table(tmp_path / "out" / "wav.scp")
    levels = {key: read_audio(wav, key, RATE).mean() for key, wav in wavs.items()}
    expected = {"end": 0.2, "left": 0.1, "right": 0.3, "both": 0.2, "over": 0.2}
    assert levels == pytest.approx(expected, abs=1e-3)
    assert lengths["end"] == "24000" and lengths["over"] == "16000"
    for part in (
        "third: dropped: has no channel 2",
        "late: dropped: ends before its segment does",
        "backward: dropped: has an empty segment",
        "absent: dropped: is missing",
    ):
        assert part in caplog.text, part


@pytest.mark.parametrize(
    ("command", "result"),
    [
        ("cat |", b""),  # a terminal would be waited for
        ("read x; echo got $x |", b"got\n"),
        ("echo a 'b  c' | tr a-z A-Z |", b"A B  C\n"),
        ("printf '%s' \"it's\" |  ", b"it's"),
        ("echo bad >&2; exit 3 |", "status 3 bad"),
        ("nosuchprogram |", "status 127 .*not found"),
        ("yes |", "more than 1 MB"),
        ("sleep 50 |", "nothing for 1 s"),
        ("exec >&-; sleep 50 |", "nothing for 1 s"),
    ],
)
def test_commands_are_bounded(monkeypatch, command, result):
    monkeypatch.setattr(commands, "SILENCE_S", 0.5)
    started = time.monotonic()
    if isinstance(result, bytes):
        assert command_output(command) == result
    else:
        with pytest.raises(CommandFailed, match=result.replace("1 s", "0 s")):
            command_output(command, most=1 << 20)
    assert time.monotonic() - started < 5


def test_commands_end_with_us(tmp_path):
    """Also what is behind their pipes, and though nobody says good-bye."""
    line = f"(echo $$; sleep 100; touch {tmp_path}/late) | sleep 101 | cat >&2 |"
    code = f"from espnet2_taste.io.commands import *; command_output({line!r})"
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 20

    def alive() -> bool:
        tables = Path("/proc").glob("[0-9]*/cmdline")
        found = []
        for table in tables:
            try:
                found.append(table.read_bytes())
            except OSError:
                continue
        return any(str(tmp_path).encode() in words for words in found) and any(
            words == b"sleep\x00101\x00" for words in found
        )

    while not alive():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    while alive():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_long_file_is_not_read_whole(tmp_path):
    """Its length is looked at first: two hours take no longer than two minutes."""
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        block = np.zeros(RATE * 600, np.int16)
        for _ in range(12):
            file.write(block)
    wav, _ = load_audio(str(path), "u", None, 30.0)
    assert len(wav) == 30 * RATE + 1
