"""Decoding audio files to their end; the lengths that their headers tell are hints."""

import io
import os
import re
import shutil
import threading
from contextlib import ExitStack, suppress
from typing import BinaryIO

import numpy as np

#: Of a length that its writer did not know, headers say 0 or at least this: bytes, and
#: libsndfile's frames.
_UNKNOWN_BYTES, _UNKNOWN_FRAMES = 0x7FFF0000, 1 << 35
_BLOCK = 1 << 16  # frames
_OVERSHOOT = 0.5  # seconds that a segment may end after its recording, as in Kaldi


class DamagedAudio(Exception):
    """What is wrong with audio, in words that follow its name."""


def decode(
    source: str | bytes,
    span: tuple[float, float | None] | None = None,
    longest: float = float("inf"),
) -> tuple[np.ndarray, int]:
    """Samples as they are stored, and their rate.

    Args:
        source: path, or the bytes of a file.
        span: start and end in seconds, None for the end of the file; None: all of it.
        longest: seconds; of more, one sample more is read.

    Returns:
        (N, C) float32 in [-1, 1] and Hz.

    Raises:
        DamagedAudio: the file or its span is cut off.
        soundfile.LibsndfileError: it is no audio.
    """
    import soundfile

    with ExitStack() as stack:
        is_path = isinstance(source, str)
        raw = stack.enter_context(open(source, "rb") if is_path else io.BytesIO(source))
        size = raw.seek(0, os.SEEK_END)
        promised = _promised_bytes(raw, size)
        if size + 1 < promised < _UNKNOWN_BYTES:
            raise DamagedAudio("is truncated")
        stream = _wav_of_unknown_length(raw, size)
        if stream is None:
            file = source if is_path else io.BytesIO(source)
            f = stack.enter_context(soundfile.SoundFile(file))
            stream = _mp3_of_unknown_length(raw, size) if f.format == "MP3" else None
        if stream is not None:
            f = stack.enter_context(soundfile.SoundFile(stream))
        return _read(f, stream is None, span, longest), f.samplerate


def _read(f, is_file: bool, span, longest: float) -> np.ndarray:
    """The frames of a span, (N, C), read in blocks."""
    known = is_file and f.frames < _UNKNOWN_FRAMES
    start, stop = _span_frames(span, f.samplerate, f.frames if known else np.inf)
    limit = np.floor(min(stop, start + longest * f.samplerate + 1))
    position = f.seek(start) if known and f.seekable() else 0
    blocks = [np.zeros((0, f.channels), np.float32)]
    while position < limit:
        block = np.full((int(min(_BLOCK, limit - position)), f.channels), np.nan, "f")
        try:
            count = f.buffer_read_into(block, "float32")
        except RuntimeError:  # so ends FLAC of unknown length; what was read is there
            if known:
                raise
            count = int(np.isfinite(block[:, 0]).sum())
        if not count:
            break
        blocks.append(block[max(0, start - position) : count])
        position += count
    if position < limit and known:
        raise DamagedAudio("is truncated")
    if not known:
        _span_frames(span, f.samplerate, position if position < limit else np.inf)
    return np.concatenate(blocks)


def _span_frames(span, rate: int, length: float) -> tuple[int, float]:
    """First frame of a span of seconds and the one after its last.

    Raises:
        DamagedAudio: of ``length`` frames, a segment does not end there.
    """
    if span is None:
        return 0, length
    start = round(span[0] * rate)
    stop = length if span[1] is None else round(span[1] * rate)
    if start >= length or stop > length + _OVERSHOOT * rate:
        raise DamagedAudio("ends before its segment does")
    return start, min(stop, length)


def _promised_bytes(raw: BinaryIO, size: int) -> int:
    """Size of the file by what it says itself; 0: it does not say."""
    raw.seek(0)
    head = raw.read(1024)
    kind = head[:4]
    order = "big" if kind in (b"RIFX", b"FORM", b".snd") else "little"

    def number(start: int, size: int = 4) -> int:
        return int.from_bytes(head[start : start + size], order)

    if kind in (b"RIFF", b"RIFX"):
        start, length = _data_chunk(raw, order)
        return length and start + length
    if kind == b"FORM":
        return number(4) and 8 + number(4)
    if kind == b".snd":
        return number(4) + number(8)
    if kind == b"RF64":
        return 8 + number(20, 8)
    if kind == b"riff":  # Sony's Wave64
        return number(16, 8)
    if kind == b"NIST":
        fields = dict(re.findall(rb"(\w+) -[is]\d* (\d+)", head))
        names = (b"sample_count", b"channel_count", b"sample_n_bytes")
        count, channels, width = (int(fields.get(name, 0)) for name in names)
        return 1024 + count * channels * width if b"shorten" not in head else 0
    if kind == b"OggS":  # its last page
        before = raw.seek(max(0, size - (1 << 17)))
        tail = raw.read()
        page = tail[tail.rfind(b"OggS") :]
        lengths = page[27 : 27 + page[26]] if len(page) > 26 else b""
        return before + len(tail) - len(page) + 27 + len(lengths) + sum(lengths)
    return 0


def _data_chunk(raw: BinaryIO, order: str) -> tuple[int, int]:
    """Where the samples of a RIFF file start, and how many bytes they should have."""
    raw.seek(12)
    while len(head := raw.read(8)) == 8:
        size = int.from_bytes(head[4:], order)
        if head[:4] == b"data":
            return raw.tell(), size
        raw.seek(size + size % 2, os.SEEK_CUR)
    return 0, 0


def _wav_of_unknown_length(raw: BinaryIO, size: int) -> int | None:
    """A stream of a WAV file whose header says 0 bytes, though there are some."""
    raw.seek(0)
    head = raw.read(8)
    if head[:4] != b"RIFF" or int.from_bytes(head[4:], "little") + 8 == size:
        return None
    start, promised = _data_chunk(raw, "little")
    if not start or promised or start == size:
        return None
    raw.seek(0)
    return _stream(raw.read(start - 4) + b"\xff" * 4, raw, start)


def _mp3_of_unknown_length(raw: BinaryIO, size: int) -> int | None:
    """A stream of an MP3 file that no header tells the length of, or a wrong one does.

    libsndfile guesses a length or believes the header, but of a stream reads all.
    """
    start = 0
    raw.seek(0)
    head = raw.read(10)
    if head[:3] == b"ID3":
        start = 10 + sum(byte << 7 * i for i, byte in enumerate(head[:5:-1]))
    raw.seek(start)
    head = raw.read(4096)
    if b"VBRI" in head:
        return None
    if told := re.search(rb"Xing|Info", head):
        fields = [head[told.end() + i :][:4] for i in (0, 4, 8)]
        flags, _, length = (int.from_bytes(field, "big") for field in fields)
        if flags & 3 != 3 or size - start < 1.05 * length + 1024:
            return None
        head = head.replace(told[0], bytes(4), 1)  # files were joined: the first's
    return _stream(head, raw, start + len(head))


def _stream(head: bytes, raw: BinaryIO, start: int) -> int:
    """The end to read of a pipe that gets ``head`` and the file from ``start`` on."""
    reader, writer = os.pipe()
    in_memory = isinstance(raw, io.BytesIO)
    raw = io.BytesIO(raw.getvalue()) if in_memory else open(raw.name, "rb")

    def pour() -> None:
        with suppress(OSError), raw, open(writer, "wb") as pipe:
            raw.seek(start)
            pipe.write(head)
            shutil.copyfileobj(raw, pipe)

    threading.Thread(target=pour, daemon=True).start()
    return reader
