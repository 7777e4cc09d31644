"""Recordings of any kind -> 16 kHz mono 16-bit wav files; says what was dropped.

Reads ``wav.scp`` (paths; commands ending in ``|`` run in a shell) and ``segments`` if
there is one; writes wav.scp, text, utt2spk, spk2utt, utt2num_samples (and *.ctm) to the
output directory and the audio beside it.
"""

import argparse
import io
import logging
import subprocess
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import soxr

from espnet2_taste.bin import command, run
from espnet2_taste.io import datadir
from espnet2_taste.io.kaldi import riff_truncated, write_wav


class Dropped(Exception):
    """Why an utterance cannot be used."""


@dataclass
class Result:
    """What became of one utterance: ``num_samples`` or the reason it was dropped."""

    utt_id: str
    num_samples: int = 0
    reason: str = ""
    detail: str = ""
    resampled_from: int = 0
    num_channels: int = 1


def read_audio(source: str, span: tuple[float, float] | None) -> tuple:
    """Read (samples, channels) float32 and the rate; ``span`` in seconds.

    Raises:
        Dropped: missing, empty, truncated or not audio.
    """
    if source.rstrip().endswith("|"):
        command = source.rstrip()[:-1]
        done = subprocess.run(command, shell=True, capture_output=True, check=False)
        if done.returncode:
            raise Dropped(f"command failed: {done.stderr.decode(errors='replace')}")
        target = io.BytesIO(done.stdout)
        size = len(done.stdout)
    else:
        target = Path(source)
        if not target.is_file():
            raise Dropped("missing")
        size = target.stat().st_size
    if size == 0:
        raise Dropped("zero length")
    try:
        with soundfile.SoundFile(target) as f:
            rate, frames = f.samplerate, f.frames
            # libsndfile clips the header's length to the file's; compare the bytes.
            if not isinstance(target, io.BytesIO) and riff_truncated(target):
                raise Dropped("truncated")
            start, stop = (round(t * rate) for t in span) if span else (0, frames)
            if span and (start >= frames or stop > frames + rate // 10):
                raise Dropped("segment beyond the end of its recording")
            f.seek(start)
            wanted = max(0, min(stop, frames) - start)
            wav = f.read(wanted, "float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise Dropped(f"not audio: {error}") from None
    if wanted == 0:
        raise Dropped("zero length")
    if len(wav) < wanted:
        raise Dropped("truncated")
    return wav, rate


def format_one(job: tuple, output: Path, args: argparse.Namespace) -> Result:
    """Convert one utterance; never raises on bad audio."""
    utt_id, source, span = job
    result = Result(utt_id)
    try:
        wav, rate = read_audio(source, span)
        result.num_channels = wav.shape[1]
        if not np.isfinite(wav).all():
            raise Dropped("NaN or infinite samples")
        seconds = len(wav) / rate
        if seconds > args.max_wav_duration:
            raise Dropped(f"longer than {args.max_wav_duration:g} s")
        if seconds < args.min_wav_duration:
            raise Dropped(f"shorter than {args.min_wav_duration:g} s")
        wav = wav.mean(axis=1) if wav.shape[1] > 1 else wav[:, 0]
        if rate != args.fs:
            result.resampled_from = rate
            wav = soxr.resample(wav, rate, args.fs)
        pcm = np.round(np.clip(wav, -1.0, 1.0) * 32767.0).astype(np.int16)
    except Dropped as error:
        # "not audio: <libsndfile's words>": the part before the colon is counted.
        result.reason, _, result.detail = str(error).partition(":")
        return result
    result.num_samples = len(pcm)
    path = output / f"{utt_id.replace('/', '_')}.wav"
    write_wav(path, pcm, args.fs)
    return result


def list_jobs(folder: Path) -> tuple[list[tuple], Counter]:
    """(utt_id, source, span or None) of the utterances with text, and what lacks."""
    tables = datadir.read_tables(folder)
    recordings = datadir.read_lines(folder / "wav.scp")
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


def format_directory(args: argparse.Namespace) -> None:
    """Convert ``args.data_dir`` to ``args.output_dir`` and report.

    Raises:
        ValueError: no utterance is left.
    """
    jobs, dropped = list_jobs(args.data_dir)
    audio = args.output_dir / "wav"
    audio.mkdir(parents=True, exist_ok=True)
    work = partial(format_one, output=audio, args=args)
    results, rates, stereo = [], Counter(), 0
    with ProcessPoolExecutor(args.nj) as pool:
        for result in pool.map(work, jobs, chunksize=16):
            results.append(result)
            if result.reason:
                dropped[result.reason] += 1
                logging.warning(
                    "%s: dropped: %s%s", result.utt_id, result.reason, result.detail
                )
            elif result.resampled_from:
                rates[result.resampled_from] += 1
            stereo += result.num_channels > 1
            if len(results) % 1000 == 0:
                logging.info("%s: %d/%d", args.data_dir, len(results), len(jobs))
    kept = {r.utt_id: r.num_samples for r in results if not r.reason}
    name = args.data_dir
    for rate, count in sorted(rates.items()):
        logging.info("%s: %d resampled from %d Hz", name, count, rate)
    if stereo:
        logging.info("%s: %d mixed down to mono", name, stereo)
    report = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
    if not kept:
        raise ValueError(f"{name}: no usable utterance (dropped: {report or 'none'})")
    write_directory(args, kept, audio)
    hours = sum(kept.values()) / args.fs / 3600
    logging.info(
        "%s: kept %d utterances (%.2f h), dropped %d%s",
        args.output_dir,
        len(kept),
        hours,
        sum(dropped.values()),
        f": {report}" if report else "",
    )


def write_directory(args: argparse.Namespace, kept: dict, audio: Path) -> None:
    """Write the tables; utt2num_samples comes last, it tells that all is there."""
    tables = datadir.read_tables(args.data_dir)
    tables = {name: tables[name] for name in ("text", "utt2spk")}
    tables["wav.scp"] = {
        key: str(audio / f"{key.replace('/', '_')}.wav") for key in kept
    }
    datadir.write_selection(args.data_dir, tables, set(kept), args.output_dir)
    samples = {key: str(count) for key, count in kept.items()}
    datadir.write_table(args.output_dir / "utt2num_samples", samples)


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path, help="Kaldi data directory")
    parser.add_argument("output_dir", type=Path, help="e.g. dump/raw/train")
    parser.add_argument("--fs", type=int, default=16000, help="output rate in Hz")
    parser.add_argument("--max_wav_duration", type=float, default=30.0, help="seconds")
    parser.add_argument("--min_wav_duration", type=float, default=0.1, help="seconds")
    parser.add_argument("--nj", type=int, default=1, help="processes")
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    format_directory(args)


if __name__ == "__main__":
    run(main)
