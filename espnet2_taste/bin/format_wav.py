"""Recordings of any kind -> mono 16-bit audio of one rate; says what was dropped.

Reads ``wav.scp`` (paths, ``some.ark:offset``; commands ending in ``|`` run in a shell)
and ``segments`` if there is one; writes wav.scp, text, utt2spk, spk2utt, sample_rate,
utt2num_samples (and *.ctm) to the output directory and the audio beside it. White space
in texts becomes one space.

The rate is that of the recordings unless ``--fs`` is given: a vocoder may want all of
it, and every model resamples what it reads. Where recordings have several rates, all
become the highest of them: ESPnet reads one rate from a set.
"""

import argparse
import logging
from collections import Counter
from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.numbers import jobs, real, seconds
from espnet2_taste.io import datadir
from espnet2_taste.io.atomic import write_text
from espnet2_taste.io.audio import parse_rate
from espnet2_taste.io.conversion import Job, Limits, Result, convert_part, list_jobs
from espnet2_taste.io.processes import process_pool
from espnet2_taste.io.tables import write_table

NATIVE = "native"
PART = 500  # utterances a process takes at a time; in an ark, where there are arks


def convert_all(jobs: list[Job], args: argparse.Namespace) -> list[Result]:
    """Convert in ``args.nj`` processes, to one rate."""
    audio = args.output_dir / "wav"
    audio.mkdir(parents=True, exist_ok=True)
    parts = [jobs[i : i + PART] for i in range(0, len(jobs), PART)]
    limits = Limits(args.fs, args.min_wav_duration, args.max_wav_duration)
    while True:
        work = partial(
            convert_part, audio=audio, audio_format=args.audio_format, limits=limits
        )
        results: list[Result] = []
        with process_pool(args.nj) as pool:
            for done in pool.map(work, enumerate(parts, 1)):
                results += done
                logging.info("%s: %d/%d", args.data_dir, len(results), len(jobs))
        rates = {result.rate for result in results if not result.reason}
        if len(rates) < 2:
            return results
        limits = replace(limits, rate=max(rates))
        logging.info(
            "%s: recordings have rates of %s Hz; again, all at %d Hz (--fs chooses)",
            args.data_dir,
            ", ".join(map(str, sorted(rates))),
            limits.rate,
        )


def report(name: Path, results: list[Result], dropped: Counter) -> None:
    """Log what was dropped, and what is kept though it may not be wanted."""
    for result in results:
        if result.reason:
            dropped[result.reason] += 1
            text = f"{result.reason}{result.detail}"
            logging.warning("%s: dropped: %s", result.utt, text)
    kept = [result for result in results if not result.reason]
    rates = Counter(r.resampled_from for r in kept if r.resampled_from)
    for rate, count in sorted(rates.items()):
        logging.info("%s: %d resampled from %d Hz", name, count, rate)
    for level, what, utts in (
        (logging.INFO, "mixed down to mono", [r.utt for r in kept if r.mixed]),
        (logging.WARNING, "silent (below -80 dB)", [r.utt for r in kept if r.silent]),
        (
            logging.WARNING,
            "nearly silent, for their channels cancel out (antiphase): give segments "
            "with a channel",
            [r.utt for r in kept if r.cancelled],
        ),
    ):
        if utts:
            logging.log(level, "%s: %d %s, e.g. %s", name, len(utts), what, utts[0])


def format_directory(args: argparse.Namespace) -> None:
    """Convert ``args.data_dir`` to ``args.output_dir`` and report.

    Raises:
        ValueError: no utterance is left, or both are one folder.
    """
    if args.output_dir.resolve() == args.data_dir.resolve():
        raise ValueError(f"{args.data_dir} would be overwritten: another output_dir")
    jobs, dropped = list_jobs(args.data_dir)
    results = convert_all(jobs, args)
    report(args.data_dir, results, dropped)
    kept = [result for result in results if not result.reason]
    reasons = ", ".join(f"{count} {why}" for why, count in sorted(dropped.items()))
    if not kept:
        raise ValueError(
            f"{args.data_dir}: no usable utterance (dropped: {reasons or 'none'})"
        )
    write_directory(args, kept)
    logging.info(
        "%s: kept %d utterances (%.2f h, %d Hz), dropped %d%s",
        args.output_dir,
        len(kept),
        sum(result.num_samples for result in kept) / kept[0].rate / 3600,
        kept[0].rate,
        sum(dropped.values()),
        f": {reasons}" if reasons else "",
    )


def write_directory(args: argparse.Namespace, kept: list[Result]) -> None:
    """Write the tables; utt2num_samples comes last, it tells that all is there."""
    read = datadir.read_tables(args.data_dir)
    tables = {
        "text": {utt: " ".join(text.split()) for utt, text in read["text"].items()},
        "utt2spk": read["utt2spk"],
        "wav.scp": {result.utt: result.entry for result in kept},
    }
    keys = {result.utt for result in kept}
    datadir.write_selection(args.data_dir, tables, keys, args.output_dir)
    write_text(args.output_dir / "sample_rate", f"{kept[0].rate}\n")
    samples = {result.utt: str(result.num_samples) for result in kept}
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
    longest = real(0, inf, above=True)
    add("--max_wav_duration", type=longest, default=inf, help="s; default: any")
    add("--min_wav_duration", type=seconds, default=0.0, help="seconds; default: any")
    add("--nj", type=jobs, default=1, help="processes")
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    format_directory(args)


if __name__ == "__main__":
    run(main)
