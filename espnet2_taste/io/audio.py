"""Audio of a ``wav.scp`` entry, and what identifies it in a cache."""

import hashlib
import re
from pathlib import Path

import numpy as np

from espnet2_taste.io.kaldi import riff_truncated

SAMPLE_RATE = 16000
_ARK = re.compile(r"^(.+):(\d+)$")


def read_audio(entry: str, utt: str) -> np.ndarray:
    """(N,) float32 in [-1, 1], mono, 16 kHz; other rates and channels are converted.

    Args:
        entry: path of an audio file, or ``some.ark:offset`` (kaldiio).
        utt: its id, for messages.

    Raises:
        FileNotFoundError, ValueError: the file is missing, is not audio, is truncated,
            or holds samples that are no numbers.
    """
    if entry.rstrip().endswith("|"):
        raise ValueError(
            f"{utt}: wav.scp holds a command ({entry}), expected a file: run "
            "bin.format_wav"
        )
    path = Path(entry)
    try:
        if not path.exists() and _ARK.match(entry):
            import kaldiio

            rate, wav = kaldiio.load_mat(entry)
            wav = np.asarray(wav)
            if wav.dtype.kind == "i":
                wav = wav / float(np.iinfo(wav.dtype).max + 1)
            wav = wav.astype(np.float32)
        else:
            import soundfile

            wav, rate = soundfile.read(entry, dtype="float32")
    except Exception as error:
        if not path.exists():
            raise FileNotFoundError(f"{utt}: no audio file {entry}") from None
        raise ValueError(f"{utt}: {entry} is not readable audio ({error})") from None
    if path.is_file() and riff_truncated(path):
        raise ValueError(f"{utt}: {entry} is truncated")
    if not np.isfinite(wav).all():
        raise ValueError(f"{utt}: {entry} holds samples that are no numbers")
    if wav.ndim == 2:
        wav = wav.mean(axis=1)
    if rate != SAMPLE_RATE:
        import soxr

        wav = soxr.resample(wav, rate, SAMPLE_RATE)
    return np.ascontiguousarray(wav, dtype=np.float32)


def to_pcm16(wav: np.ndarray) -> bytes:
    """(N,) float in [-1, 1] -> little-endian 16-bit samples, clipped."""
    return (np.clip(wav, -1.0, 1.0) * 32767.0).round().astype("<i2").tobytes()


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
