"""The one place that reads audio: any file libsndfile knows, any rate asked for."""

import hashlib
import os
import re
from pathlib import Path

import numpy as np

from espnet2_taste.io.arks import load_ark_entry
from espnet2_taste.io.atomic import replacing
from espnet2_taste.io.decoding import DamagedAudio, decode, span_frames

_ARK = re.compile(r"^(.+):(\d+)$")
#: A file inside another (in a tar, in an Arrow file): offset and size in bytes.
_SLICE = re.compile(r"^(.+):(\d+):(\d+)$")


NO_SAMPLES = "has no samples"


class AudioError(ValueError):
    """Audio that cannot be used.

    Args:
        utt: id of the utterance.
        name: of the file.
        problem: in words that follow its name; kept as an attribute.
        detail: more of it, for the message only.
    """

    def __init__(self, utt: str, name: str, problem: str, detail: str = ""):
        super().__init__(f"{utt}: {name} {problem}{detail}")
        self.problem = problem


def read_audio(
    entry: str, utt: str, sample_rate: int, num_samples: int | None = None
) -> np.ndarray:
    """Mono audio of a ``wav.scp`` entry at the rate that a model takes.

    Args:
        entry: path of an audio file, or ``some.ark:offset`` (kaldiio).
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
    try:
        whole = isinstance(entry, bytes) or os.path.exists(entry)
        if not whole and (match := _SLICE.match(entry)):
            wav, rate = decode(_read_slice(*match.groups()), span, longest)
        elif not whole and _ARK.match(entry):
            wav, rate = _read_ark(entry, span)
        else:
            wav, rate = decode(entry, span, longest)
    except DamagedAudio as error:
        raise AudioError(utt, name, str(error)) from None
    except FileNotFoundError:
        raise FileNotFoundError(f"{utt}: no audio file {name}") from None
    except Exception as error:  # libsndfile's, kaldiio's
        reason = " ".join(str(error).split())
        raise AudioError(utt, name, "is not readable audio", f" ({reason})") from None
    if not len(wav):
        raise AudioError(utt, name, NO_SAMPLES)
    if not np.isfinite(wav).all():
        raise AudioError(utt, name, "holds samples that are no numbers")
    return wav, rate


def _read_slice(path: str, start: str, size: str) -> bytes:
    """The bytes of a file inside another."""
    with open(path, "rb") as file:
        file.seek(int(start))
        content = file.read(int(size))
    if len(content) < int(size):
        raise DamagedAudio("is truncated")
    return content


def _read_ark(entry: str, span) -> tuple[np.ndarray, int]:
    """Samples (N, C) and rate of a recording in an ark (wav.ark, flac.ark)."""
    found = load_ark_entry(entry)
    if not isinstance(found, tuple):
        raise ValueError("an array, but no audio")
    wav, rate = found[::-1] if np.isscalar(found[0]) else found
    if wav.dtype.kind in "iu":
        scale = 2.0 ** (8 * wav.dtype.itemsize - 1)
        wav = wav / scale - (wav.dtype.kind == "u")
    wav = wav.astype(np.float32)[:, None] if wav.ndim == 1 else wav.astype(np.float32)
    start, stop = span_frames(span, rate, len(wav))
    return wav[start:stop], int(rate)


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


def write_wav(path: str | Path, wav: np.ndarray, sample_rate: int) -> None:
    """Write (N,) samples in [-1, 1] as 16-bit wav or flac, by rename; parents are made.

    The format is the file name's ending.
    """
    import soundfile

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        soundfile.write(temporary, wav, sample_rate, "PCM_16", format=path.suffix[1:])


def audio_identity(entry: str) -> str:
    """Digest that changes when the audio does: the file's bytes, or an ark's stat."""
    path = Path(entry)
    if path.is_file():
        return hashlib.sha1(path.read_bytes()).hexdigest()
    match = _ARK.match(entry)
    if match and Path(match[1]).is_file():
        stat = Path(match[1]).stat()
        seed = f"{entry} {stat.st_size} {stat.st_mtime_ns}"
        return hashlib.sha1(seed.encode()).hexdigest()
    return "missing"
