"""The one place that reads audio: any file libsndfile knows, any rate asked for."""

import hashlib
import os
import re
from pathlib import Path
from typing import BinaryIO

import numpy as np

from espnet2_taste.io.atomic import replacing
from espnet2_taste.io.decoding import DamagedAudio, decode
from espnet2_taste.io.values import check_numbers, only_numbers

_ARK = re.compile(r"^(.+):(\d+)$")
#: A file inside another (in a tar, in an Arrow file): offset and size in bytes.
_SLICE = re.compile(r"^(.+):(\d+):(\d+)$")


NO_SAMPLES = "has no samples"
LOUDEST = 32.0  # a float sample beyond it is an integer's


class AudioError(ValueError):
    """Audio that cannot be used.

    Args:
        utt: id of the utterance.
        name: of the file.
        problem: in words that follow its name.
        detail: more of it.
    """

    def __init__(self, utt: str, name: str, problem: str, detail: str = ""):
        super().__init__(f"{utt}: {name} {problem}{detail}")
        self.name, self.problem, self.detail = name, problem, detail


def read_audio(
    entry: str, utt: str, sample_rate: int, num_samples: int | None = None
) -> np.ndarray:
    """Mono audio of a ``wav.scp`` entry at the rate that a model takes.

    Args:
        entry: path of an audio file, ``some.ark:offset``, or ``some.tar:offset:size``.
        utt: its id, for messages.
        sample_rate: Hz wanted; other rates are resampled, channels are averaged.
        num_samples: the file should have, see ``utt2num_samples``; None: not known.

    Returns:
        (N,) float32 in [-1, 1], N at least 1.

    Raises:
        FileNotFoundError, AudioError: the file is missing, is not audio, is empty or
            truncated, or holds samples that are no numbers; one line names it.
    """
    if entry.rstrip().endswith("|"):
        raise ValueError(
            f"{utt}: wav.scp holds a command ({entry}), expected a file: run "
            "bin.format_wav"
        )
    wav, rate = load_audio(entry, utt)
    if num_samples is not None and len(wav) < num_samples:
        counts = f": {len(wav)} of {num_samples} samples"
        raise AudioError(utt, entry, "is truncated", counts)
    return resample(to_mono(wav), rate, sample_rate)


def load_audio(
    entry: str | bytes,
    utt: str,
    span: tuple[float, float | None] | None = None,
    longest: float = float("inf"),
) -> tuple[np.ndarray, int]:
    """Audio as it is stored.

    Args:
        entry: path, ``some.ark:offset``, ``some.tar:offset:size`` (a whole audio file
            inside another file), or the bytes of a file.
        utt: its id, for messages.
        span: start and end in seconds, None for the end of the file; None: all of it.
        longest: seconds; of a longer file, one sample more than that is read.

    Returns:
        (N, C) float32 in [-1, 1], N at least 1, and its rate in Hz.

    Raises:
        FileNotFoundError, AudioError: see :func:`read_audio`.
    """
    name = "its command's output" if isinstance(entry, bytes) else entry
    if entry == b"":
        raise AudioError(utt, name, NO_SAMPLES)
    try:
        source = entry
        if isinstance(entry, str) and _ARK.match(entry) and not os.path.exists(entry):
            source = _read_inside(entry)
        wav, rate = decode(source, span, longest)
    except DamagedAudio as error:
        raise AudioError(utt, name, str(error)) from None
    except FileNotFoundError:
        raise FileNotFoundError(f"{utt}: no audio file {name}") from None
    except Exception as error:  # libsndfile's, kaldiio's
        reason = getattr(error, "error_string", " ".join(str(error).split()))
        raise AudioError(utt, name, "is not readable audio", f" ({reason})") from None
    if not len(wav):
        raise AudioError(utt, name, NO_SAMPLES)
    if not only_numbers(wav):
        raise AudioError(utt, name, "holds samples that are no numbers")
    return wav, rate


def _read_inside(entry: str) -> bytes:
    """The file that an entry names inside another file."""
    match = _SLICE.match(entry) or _ARK.match(entry)
    if match is None:
        raise ValueError("no file and no place in one")
    path, *place = match.groups()
    with open(path, "rb") as file:
        start, size = map(int, place) if place[1:] else _find_in_ark(file, *place)
        file.seek(start)
        content = file.read(size)
    if len(content) < size:
        raise DamagedAudio("is truncated")
    return content


def _find_in_ark(ark: BinaryIO, offset: str) -> tuple[int, int]:
    """Where a recording lies in an ark (wav.ark, flac.ark), and its bytes; -1: all.

    Raises:
        ValueError: there is something else.
    """
    start = ark.seek(int(offset))
    head = ark.read(8)
    if head[:4] == b"RIFF":
        return start, 8 + int.from_bytes(head[4:], "little")
    if head[:4] == b"fLaC":
        return start, -1
    if head[:5] != b"AUDIO":
        raise ValueError("no audio there")
    ark.seek(start + 6)  # a byte that says how many bytes the length has
    return start + 6 + head[5], int.from_bytes(ark.read(head[5]), "little")


def to_mono(wav: np.ndarray) -> np.ndarray:
    """(N, C) -> (N,), the mean of the channels."""
    return wav.mean(axis=1) if wav.shape[1] > 1 else wav[:, 0]


def resample(wav: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    """(N,) at ``rate`` Hz -> (ceil(N * sample_rate / rate),) or so, float32."""
    if rate != sample_rate:
        import soxr

        wav = soxr.resample(wav, rate, sample_rate)
    return np.ascontiguousarray(wav, dtype=np.float32)


def audio_rate(entry: str) -> int:
    """Sampling rate in Hz of a ``wav.scp`` entry, from its header.

    Raises:
        FileNotFoundError, AudioError: as :func:`read_audio`.
    """
    import soundfile

    if Path(entry).is_file():
        try:
            return soundfile.info(entry).samplerate
        except RuntimeError:
            pass
    return load_audio(entry, "wav.scp")[1]


def parse_rate(text: str | int) -> int:
    """``16000``, ``16k``, ``22.05k`` -> Hz.

    Raises:
        ValueError: another form.
    """
    number, kilo = str(text).lower(), str(text).lower().endswith("k")
    try:
        rate = float(number.removesuffix("k")) * (1000 if kilo else 1)
        if rate != round(rate) or rate < 1:
            raise ValueError
    except (ValueError, OverflowError):
        raise ValueError(f"{text} is no sampling rate: 16000, 16k, 24k ...") from None
    return round(rate)


def to_pcm16(wav: np.ndarray) -> bytes:
    """(N,) float in [-1, 1] -> little-endian 16-bit samples, clipped."""
    return (np.clip(wav, -1.0, 1.0) * 32767.0).round().astype("<i2").tobytes()


def as_speech(wav, what: str = "speech") -> np.ndarray:
    """A mono waveform that a program gives, checked.

    Args:
        wav: (N,) array or tensor: floats in [-1, 1] or so, or signed integers, whose
            full scale becomes 1 (``soundfile.read(dtype="int16")``).
        what: it is, for messages.

    Returns:
        (N,) float32.

    Raises:
        ValueError: of another shape or type, values that are no numbers, or integers
            that were made floats without scaling them.
    """
    wav = np.asarray(wav.detach().cpu() if hasattr(wav, "detach") else wav)
    if wav.ndim != 1:
        raise ValueError(f"{what} must be one channel (N,), not {wav.shape}")
    if wav.dtype.kind == "i":
        wav = wav / 2.0 ** (8 * wav.dtype.itemsize - 1)
    elif wav.dtype.kind != "f":
        raise ValueError(f"{what} must be floats or signed integers, not {wav.dtype}")
    check_numbers(what, wav)
    peak = float(np.abs(wav).max(initial=0))
    if peak > LOUDEST:
        raise ValueError(
            f"{what} reaches {peak:g}: floats must be in [-1, 1] (divide 16-bit "
            "samples by 32768)"
        )
    return wav.astype(np.float32)


def write_wav(path: str | Path, wav: np.ndarray, sample_rate: int) -> None:
    """Write (N,) samples in [-1, 1] as 16-bit wav or flac, by rename; parents are made.

    The format is the file name's ending.
    """
    import soundfile

    path = Path(path)
    check_numbers(str(path), wav)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        soundfile.write(temporary, wav, sample_rate, "PCM_16", format=path.suffix[1:])


def audio_identity(entry: str) -> str:
    """Digest of the bytes of a recording's file, also of one inside another file."""
    digest = hashlib.sha1()
    try:
        if os.path.isfile(entry):
            with open(entry, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        else:
            digest.update(_read_inside(entry))
    except (DamagedAudio, OSError, ValueError):
        return "missing"
    return digest.hexdigest()
