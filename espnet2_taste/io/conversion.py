"""Recordings of any kind -> mono 16-bit audio of one rate, utterance by utterance."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet2_taste.io import datadir
from espnet2_taste.io.atomic import replacing
from espnet2_taste.io.audio import AudioError, load_audio, resample, to_mono, write_wav
from espnet2_taste.io.commands import MOST, CommandFailed, command_output, is_command
from espnet2_taste.io.file_names import file_name
from espnet2_taste.io.segments import Segment, iterate_segments
from espnet2_taste.io.sorted_tables import join, sorted_entries
from espnet2_taste.io.tables import parse_seconds, read_table

#: Below, a recording counts as silent: -80 dB of full scale.
SILENCE = 1e-4
#: Part of the channels' power that their mean keeps at least, unless they cancel out.
CANCELLED = 0.01
#: Seconds that audio may lack of what its corpus says, which may have rounded.
LACKING = 0.5
_BYTES_PER_S = 192_000 * 2 * 4  # of a command's output, at the most


class Dropped(Exception):
    """Why an utterance is not wanted; what comes after a colon is not counted."""


@dataclass(frozen=True)
class Job:
    """An utterance, an entry of wav.scp, and the part of it that it is (None: all).

    ``seconds``: its length as the corpus says it; None: it does not.
    """

    utt: str
    source: str
    segment: Segment | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Limits:
    """What is wanted: a rate in Hz (None: its own), shortest and longest seconds."""

    rate: int | None = None
    shortest: float = 0.0
    longest: float = float("inf")


@dataclass
class Result:
    """What became of an utterance: where it is, or the reason it was dropped."""

    utt: str
    entry: str = ""
    num_samples: int = 0
    rate: int = 0
    reason: str = ""
    detail: str = ""
    resampled_from: int = 0
    mixed: bool = False
    silent: bool = False
    cancelled: bool = False


def list_jobs(folder: Path, dropped: Counter, text: bool = True) -> Iterator[Job]:
    """The utterances that all tables have, by id.

    Args:
        folder: data directory.
        dropped: counts the reasons for which others are dropped.
        text: whether an utterance must have one.

    Raises:
        FileNotFoundError, ValueError: a table is missing or malformed.
    """
    tables = datadir.open_tables(folder, text)
    if not text:
        tables.pop("text", None)
    if "utt2dur" in tables:
        tables["utt2dur"] = sorted_entries(folder / "utt2dur", parse=parse_seconds)
    recordings = None
    if "segments" in tables:
        recordings = read_table(folder / "wav.scp", allow_empty=True)
        tables["segments"] = iterate_segments(folder)
    for utt, row in join(tables):
        absent = [name for name in tables if name not in row]
        if absent:
            dropped[f"not in {absent[0]}"] += 1
        elif text and not row["text"].split():
            dropped["empty text"] += 1
        elif not row["utt2spk"]:
            dropped["no speaker"] += 1
        elif utt.split() != [utt]:
            dropped["white space in the id, where ESPnet would end it"] += 1
        else:
            segment, source = row.get("segments"), row.get("wav.scp")
            if recordings is not None:
                source = recordings.get(segment.recording, "")
            yield Job(utt, source, segment, row.get("utt2dur"))


def read_source(job: Job, longest: float) -> tuple[np.ndarray, int]:
    """(N, C) float32 samples of an utterance and its rate; see :func:`load_audio`.

    Raises:
        Dropped: its command failed, its segment is empty, or it is shorter than its
            corpus says.
        FileNotFoundError, AudioError: see :func:`load_audio`.
    """
    span, source = None, job.source
    if job.segment is not None:
        span = job.segment.start, job.segment.end
        seconds = float("inf") if span[1] is None else span[1] - span[0]
        if seconds <= 0 or span[0] < 0:
            raise Dropped(f"has an empty segment: {span[0]:g} to {span[1]:g} s")
        if longest < seconds < float("inf"):
            raise Dropped(f"longer than {longest:g} s")
    if is_command(source):
        whole = float("inf") if span else longest
        try:
            source = command_output(source, int(min(MOST, (whole + 1) * _BYTES_PER_S)))
        except CommandFailed as error:
            raise Dropped(f"command failed: {error}") from None
    wav, rate = load_audio(source, job.utt, span, longest)
    seconds, said = len(wav) / rate, job.seconds or 0.0
    if seconds < said - LACKING and seconds <= longest:  # else not all was read
        raise Dropped(f"shorter than the corpus says: {seconds:.1f} s of {said:.1f} s")
    channel = job.segment and job.segment.channel
    if channel is None:
        return wav, rate
    if channel >= wav.shape[1]:
        raise Dropped(f"has no channel {channel}")
    return wav[:, channel : channel + 1], rate


def convert(job: Job, limits: Limits) -> tuple[Result, np.ndarray]:
    """One utterance as 16-bit samples; bad audio is a reason, not an error."""
    result, pcm = Result(job.utt), np.zeros(0, np.int16)
    try:
        wav, rate = read_source(job, limits.longest)
        seconds = len(wav) / rate
        if seconds > limits.longest:
            raise Dropped(f"longer than {limits.longest:g} s")
        if seconds < limits.shortest:
            raise Dropped(f"shorter than {limits.shortest:g} s")
        mono = to_mono(wav)
        result.mixed = wav.shape[1] > 1
        result.silent = bool(np.abs(wav).max() < SILENCE)
        if result.mixed and not result.silent:
            result.cancelled = bool(np.mean(mono**2) < CANCELLED * np.mean(wav**2))
        result.rate = limits.rate or rate
        if rate != result.rate:
            result.resampled_from = rate
        mono = resample(mono, rate, result.rate)
        pcm = np.round(np.clip(mono, -1.0, 1.0) * 32767.0).astype(np.int16)
        result.num_samples = len(pcm)
    except Dropped as error:
        result.reason, colon, detail = str(error).partition(":")
        result.detail = colon + detail
    except FileNotFoundError:
        result.reason, result.detail = "is missing", f": {job.source}"
    except AudioError as error:
        result.reason, result.detail = error.problem, f": {error.name}{error.detail}"
    return result, pcm


def convert_part(
    part: tuple[int, list[Job]], audio: Path, audio_format: str, limits: Limits
) -> list[Result]:
    """Convert and write some utterances: a file each, or one ark of them all.

    Args:
        part: its number and jobs.
        audio: folder to write to.
        audio_format: wav, flac or flac.ark.
        limits: see :class:`Limits`.
    """
    number, jobs = part
    if audio_format == "flac.ark":
        with replacing(audio / f"{number}.ark") as temporary:
            return _write_ark(temporary, audio / f"{number}.ark", jobs, limits)
    results = []
    for job in jobs:
        result, pcm = convert(job, limits)
        results.append(result)
        if not result.reason:
            result.entry = str(audio / file_name(result.utt, f".{audio_format}"))
            write_wav(result.entry, pcm, result.rate)
    return results


def _write_ark(path: Path, name: Path, jobs: list[Job], limits: Limits) -> list[Result]:
    """Convert utterances and write those that are wanted to ``path``."""
    import kaldiio

    results = []
    with open(path, "wb") as ark:
        for job in jobs:
            result, pcm = convert(job, limits)
            results.append(result)
            if result.reason:
                continue
            result.entry = f"{name}:{ark.tell() + len(f'{result.utt} '.encode())}"
            kaldiio.save_ark(
                ark,
                {result.utt: (result.rate, pcm)},
                write_function="soundfile",
                write_kwargs={"format": "flac", "subtype": "PCM_16"},
            )
    return results
