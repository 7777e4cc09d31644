"""Recordings of any kind -> mono 16-bit audio of one rate; says what was dropped.

Reads ``wav.scp`` (paths, ``some.ark:offset``; commands ending in ``|`` run in a shell)
and ``segments`` if there is one; writes wav.scp, text, utt2spk, spk2utt, sample_rate,
utt2num_samples (and *.ctm) to the output directory and the audio beside it.

The rate is that of the recordings unless ``--fs`` is given: a vocoder may want all of
it, and every model resamples what it reads. Where recordings have several rates, all
become the highest of them: ESPnet reads one rate from a set.
"""

import argparse
import logging
import subprocess
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from espnet2_taste.bin import command, run
from espnet2_taste.io import datadir
from espnet2_taste.io.atomic import replacing, write_text
from espnet2_taste.io.audio import (
    AudioError,
    load_audio,
    parse_rate,
    resample,
    to_mono,
    write_wav,
)
from espnet2_taste.io.file_names import file_name
from espnet2_taste.io.tables import read_table, write_table

NATIVE = "native"
PART = 500  # utterances a process takes at a time; in an ark, where there are arks


class Dropped(Exception):
    """Why an utterance is not wanted."""


@dataclass
class Result:
    """What became of one utterance: where it is, or the reason it was dropped."""

    utt_id: str
    entry: str = ""
    num_samples: int = 0
    rate: int = 0
    reason: str = ""
    detail: str = ""
    resampled_from: int = 0
    num_channels: int = 1


def read_source(job: tuple) -> tuple[np.ndarray, int]:
    """(N, C) float32 samples and the rate of one utterance.

    Raises:
        Dropped: its command failed.
        FileNotFoundError, AudioError: see :func:`load_audio`.
    """
    utt_id, source, span = job
    if source.rstrip().endswith("|"):
        line = source.rstrip()[:-1]
        done = subprocess.run(line, shell=True, capture_output=True, check=False)
        if done.returncode:
            raise Dropped(f"command failed: {done.stderr.decode(errors='replace')}")
        source = done.stdout
    return load_audio(source, utt_id, span)


def convert(job: tuple, fs: int | None, limits: tuple) -> tuple[Result, np.ndarray]:
    """One utterance as 16-bit samples; bad audio is a reason, not an error.

    Args:
        job: id, source and span (see :func:`list_jobs`).
        fs: rate wanted; None: its own.
        limits: shortest and longest seconds.
    """
    result, pcm = Result(job[0]), np.zeros(0, np.int16)
    try:
        wav, rate = read_source(job)
        result.num_channels = wav.shape[1]
        seconds = len(wav) / rate
        if seconds > limits[1]:
            raise Dropped(f"longer than {limits[1]:g} s")
        if seconds < limits[0]:
            raise Dropped(f"shorter than {limits[0]:g} s")
        result.rate = fs or rate
        if rate != result.rate:
            result.resampled_from = rate
        wav = resample(to_mono(wav), rate, result.rate)
        pcm = np.round(np.clip(wav, -1.0, 1.0) * 32767.0).astype(np.int16)
        result.num_samples = len(pcm)
    except Dropped as error:
        # "command failed: <its words>": the part before the colon is counted.
        result.reason, _, result.detail = str(error).partition(":")
    except FileNotFoundError as error:
        result.reason, result.detail = "is missing", f" ({error})"
    except AudioError as error:
        result.reason, result.detail = error.problem, f" ({error})"
    return result, pcm


def format_part(
    part: tuple[int, list[tuple]], audio: Path, audio_format: str, fs, limits
) -> list[Result]:
    """Convert and write some utterances: a file each, or one ark of them all.

    Args:
        part: its number and jobs.
        audio: folder to write to.
        audio_format: wav, flac or flac.ark.
        fs, limits: see :func:`convert`.
    """
    number, jobs = part
    results = []
    if audio_format == "flac.ark":
        import kaldiio

        ark = audio / f"{number}.ark"
        with replacing(ark) as temporary, open(temporary, "wb") as f:
            for job in jobs:
                result, pcm = convert(job, fs, limits)
                results.append(result)
                if result.reason:
                    continue
                result.entry = f"{ark}:{f.tell() + len(f'{result.utt_id} '.encode())}"
                kaldiio.save_ark(
                    f,
                    {result.utt_id: (result.rate, pcm)},
                    write_function="soundfile",
                    write_kwargs={"format": "flac", "subtype": "PCM_16"},
                )
        return results
    for job in jobs:
        result, pcm = convert(job, fs, limits)
        results.append(result)
        if not result.reason:
            result.entry = str(audio / file_name(result.utt_id, f".{audio_format}"))
            write_wav(result.entry, pcm, result.rate)
    return results


def list_jobs(folder: Path) -> tuple[list[tuple], Counter]:
    """(utt_id, source, span or None) of the utterances with text, and what lacks."""
    tables = datadir.read_tables(folder)
    recordings = read_table(folder / "wav.scp", allow_empty=True)
    segments = tables.get("segments")
    dropped: Counter = Counter()
    jobs = []
    for utt_id in sorted(set().union(*tables.values())):
        absent = [name for name in tables if utt_id not in tables[name]]
        if absent:
            dropped[f"not in {absent[0]}"] += 1
            continue
        if not tables["text"][utt_id]:
            dropped["empty text"] += 1
            continue
        source, span = recordings.get(utt_id, ""), None
        if segments is not None:
            recording, start, end = segments[utt_id].split()[:3]
            span = (float(start), float(end))
            source = recordings.get(recording, "")
        jobs.append((utt_id, source, span))
    return jobs, dropped


def format_all(jobs: list[tuple], args: argparse.Namespace) -> list[Result]:
    """Convert in ``args.nj`` processes, to one rate."""
    audio = args.output_dir / "wav"
    audio.mkdir(parents=True, exist_ok=True)
    parts = [jobs[i : i + PART] for i in range(0, len(jobs), PART)]
    fs, limits = args.fs, (args.min_wav_duration, args.max_wav_duration)
    while True:
        work = partial(
            format_part,
            audio=audio,
            audio_format=args.audio_format,
            fs=fs,
            limits=limits,
        )
        results: list[Result] = []
        with ProcessPoolExecutor(args.nj) as pool:
            for done in pool.map(work, enumerate(parts, 1)):
                results += done
                logging.info("%s: %d/%d", args.data_dir, len(results), len(jobs))
        rates = {result.rate for result in results if not result.reason}
        if len(rates) < 2:
            return results
        fs = max(rates)
        logging.info(
            "%s: recordings have rates of %s Hz; again, all at %d Hz (--fs chooses)",
            args.data_dir,
            ", ".join(map(str, sorted(rates))),
            fs,
        )


def format_directory(args: argparse.Namespace) -> None:
    """Convert ``args.data_dir`` to ``args.output_dir`` and report.

    Raises:
        ValueError: no utterance is left.
    """
    jobs, dropped = list_jobs(args.data_dir)
    results = format_all(jobs, args)
    for result in results:
        if result.reason:
            dropped[result.reason] += 1
            text = f"{result.reason}{result.detail}"
            logging.warning("%s: dropped: %s", result.utt_id, text)
    kept = [result for result in results if not result.reason]
    name = args.data_dir
    rates = Counter(r.resampled_from for r in kept if r.resampled_from)
    for rate, count in sorted(rates.items()):
        logging.info("%s: %d resampled from %d Hz", name, count, rate)
    stereo = sum(result.num_channels > 1 for result in kept)
    if stereo:
        logging.info("%s: %d mixed down to mono", name, stereo)
    report = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
    if not kept:
        raise ValueError(f"{name}: no usable utterance (dropped: {report or 'none'})")
    write_directory(args, kept)
    logging.info(
        "%s: kept %d utterances (%.2f h, %d Hz), dropped %d%s",
        args.output_dir,
        len(kept),
        sum(result.num_samples for result in kept) / kept[0].rate / 3600,
        kept[0].rate,
        sum(dropped.values()),
        f": {report}" if report else "",
    )


def write_directory(args: argparse.Namespace, kept: list[Result]) -> None:
    """Write the tables; utt2num_samples comes last, it tells that all is there."""
    tables = datadir.read_tables(args.data_dir)
    tables = {name: tables[name] for name in ("text", "utt2spk")}
    tables["wav.scp"] = {result.utt_id: result.entry for result in kept}
    keys = {result.utt_id for result in kept}
    datadir.write_selection(args.data_dir, tables, keys, args.output_dir)
    write_text(args.output_dir / "sample_rate", f"{kept[0].rate}\n")
    samples = {result.utt_id: str(result.num_samples) for result in kept}
    write_table(args.output_dir / "utt2num_samples", samples)


def rate(text: str) -> int | None:
    """``--fs``: a rate in Hz, or None for the recordings' own."""
    try:
        return None if text == NATIVE else parse_rate(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}, or {NATIVE}") from None


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("data_dir", type=Path, help="Kaldi data directory")
    add("output_dir", type=Path, help="e.g. dump/raw/train")
    add("--fs", type=rate, default=NATIVE, help="rate: 16000, 24k ...; default: native")
    add("--audio_format", default="wav", choices=["wav", "flac", "flac.ark"])
    add("--max_wav_duration", type=float, default=float("inf"), help="s; default: any")
    add("--min_wav_duration", type=float, default=0.0, help="seconds; default: any")
    add("--nj", type=int, default=1, help="processes")
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    format_directory(args)


if __name__ == "__main__":
    run(main)
