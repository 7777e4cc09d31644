"""Recordings of any kind -> mono 16-bit audio of one rate; says what was dropped.

Reads ``wav.scp`` (paths, ``some.ark:offset``; commands ending in ``|`` run in a shell)
and ``segments`` if there is one; writes wav.scp, text, utt2spk, spk2utt, sample_rate,
utt2num_samples (and *.ctm) to the output directory and the audio beside it. White space
in texts becomes one space. What is more than 0.5 s shorter than ``utt2dur`` says is
dropped: half a recording has the whole text.

The rate is that of the recordings unless ``--fs`` is given: a vocoder may want all of
it, and every model resamples what it reads. Where recordings have several rates, all
become the highest of them: ESPnet reads one rate from a set. What was converted when a
run was killed is not converted again.
"""

import argparse
import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import astuple
from functools import partial
from itertools import islice
from math import inf
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.numbers import jobs, real, seconds
from espnet2_taste.io import datadir
from espnet2_taste.io.atomic import write_lines, write_text
from espnet2_taste.io.audio import parse_rate
from espnet2_taste.io.conversion import Job, Limits, Result, convert_part, list_jobs
from espnet2_taste.io.journal import Journal
from espnet2_taste.io.processes import map_in_order, process_pool
from espnet2_taste.io.signature import signature
from espnet2_taste.io.sorted_tables import join

NATIVE = "native"
PART = 500  # utterances a process takes at a time; in an ark, where there are arks


class Conversion:
    """What became of the utterances, in a journal: a killed run's stays.

    Args:
        args: of the program; with other ones or other inputs, all is done again.
    """

    def __init__(self, args: argparse.Namespace):
        self.args, folder = args, args.output_dir
        self.audio = folder / "wav"
        self.audio.mkdir(parents=True, exist_ok=True)
        options = {k: v for k, v in vars(args).items() if k != "nj"}
        self.state = {"signature": signature(argparse.Namespace(**options))}
        self.state |= {"rate": args.fs}
        self.file = folder / ".signature"
        self.journal = Journal(folder, ())
        self.dropped: Counter = Counter()  # that no conversion was tried of
        known = json.loads(self.file.read_text()) if self.file.is_file() else {}
        if known.get("signature") == self.state["signature"]:
            self.state = known
        else:
            self.restart(args.fs)

    def restart(self, rate: int | None) -> None:
        """Forget what was done; from now on all becomes of this rate."""
        self.journal.path.unlink(missing_ok=True)
        self.state["rate"] = rate
        write_text(self.file, json.dumps(self.state))

    def results(self) -> Iterator[Result]:
        """In the order of their ids."""
        for entry in self.journal.read():
            for values in entry["results"]:
                yield Result(*values)

    def run(self) -> None:
        """Convert in ``args.nj`` processes, to one rate."""
        self.run_once()
        rates = {result.rate for result in self.results() if not result.reason}
        if len(rates) > 1:
            logging.info(
                "%s: recordings have rates of %s Hz; again, all at %d Hz (--fs "
                "chooses)",
                self.args.data_dir,
                ", ".join(map(str, sorted(rates))),
                max(rates),
            )
            self.restart(max(rates))
            self.run_once()

    def run_once(self) -> None:
        """Convert what is not in the journal."""
        args = self.args
        limits = Limits(
            self.state["rate"], args.min_wav_duration, args.max_wav_duration
        )
        work = partial(
            convert_part,
            audio=self.audio,
            audio_format=args.audio_format,
            limits=limits,
        )
        before = [len(part["results"]) for part in self.journal.read()]
        done = sum(before)
        if done:
            logging.info("%s: %d were done before", args.data_dir, done)
        self.dropped.clear()
        jobs = list_jobs(args.data_dir, self.dropped, not args.no_text)
        parts = enumerate(_parts(jobs), 1)
        with process_pool(args.nj) as pool, self.journal:
            left = islice(parts, len(before), None)
            for results in map_in_order(pool, work, left, 2 * args.nj):
                values = [list(astuple(result)) for result in results]
                self.journal.append({"rows": {}, "results": values})
                done += len(values)
                logging.info("%s: %d converted", args.data_dir, done)

    def finish(self) -> None:
        """All of it is in the tables."""
        self.journal.path.unlink()
        self.file.unlink()


def _parts(jobs: Iterator[Job]) -> Iterator[list[Job]]:
    while part := list(islice(jobs, PART)):
        yield part


class Report:
    """Counts what was dropped, and what is kept though it may not be wanted."""

    def __init__(self, dropped: Counter):
        self.dropped, self.resampled = dropped, Counter()
        self.kept = self.num_samples = self.rate = 0
        self.odd = {"mixed": [0, ""], "silent": [0, ""], "cancelled": [0, ""]}

    def add(self, result: Result) -> None:
        """Count an utterance; log why it is dropped."""
        if result.reason:
            self.dropped[result.reason] += 1
            text = f"{result.reason}{result.detail}"
            logging.warning("%s: dropped: %s", result.utt, text)
            return
        self.kept += 1
        self.num_samples += result.num_samples
        self.rate = result.rate
        if result.resampled_from:
            self.resampled[result.resampled_from] += 1
        for name, found in self.odd.items():
            if getattr(result, name):
                found[0] += 1
                found[1] = found[1] or result.utt

    def log(self, name: Path) -> None:
        """Say what is kept of ``name``."""
        for rate, count in sorted(self.resampled.items()):
            logging.info("%s: %d resampled from %d Hz", name, count, rate)
        what = {
            "mixed": "mixed down to mono",
            "silent": "silent (below -80 dB)",
            "cancelled": "nearly silent, for their channels cancel out (antiphase): "
            "give segments with a channel",
        }
        for kind, (count, first) in self.odd.items():
            if count:
                level = logging.INFO if kind == "mixed" else logging.WARNING
                logging.log(level, "%s: %d %s, e.g. %s", name, count, what[kind], first)


def format_directory(args: argparse.Namespace) -> None:
    """Convert ``args.data_dir`` to ``args.output_dir`` and report.

    Raises:
        ValueError: no utterance is left, or both are one folder.
    """
    if args.output_dir.resolve() == args.data_dir.resolve():
        raise ValueError(f"{args.data_dir} would be overwritten: another output_dir")
    conversion = Conversion(args)
    conversion.run()
    report = Report(conversion.dropped)
    for result in conversion.results():
        report.add(result)
    report.log(args.data_dir)
    dropped = sorted(report.dropped.items())
    reasons = ", ".join(f"{count} {why}" for why, count in dropped)
    if not report.kept:
        conversion.finish()
        raise ValueError(
            f"{args.data_dir}: no usable utterance (dropped: {reasons or 'none'})"
        )
    write_directory(args, conversion, report.rate)
    conversion.finish()
    logging.info(
        "%s: kept %d utterances (%.2f h, %d Hz), dropped %d%s",
        args.output_dir,
        report.kept,
        report.num_samples / report.rate / 3600,
        report.rate,
        report.dropped.total(),
        f": {reasons}" if reasons else "",
    )


def write_directory(
    args: argparse.Namespace, conversion: Conversion, rate: int
) -> None:
    """Write the tables; utt2num_samples comes last, it tells that all is there."""

    def kept() -> Iterator[tuple[str, Result]]:
        return ((r.utt, r) for r in conversion.results() if not r.reason)

    def rows() -> Iterator[tuple[str, dict[str, str]]]:
        read = datadir.open_tables(args.data_dir, not args.no_text)
        tables = {name: read[name] for name in names[1:]} | {"result": kept()}
        for utt, row in join(tables):
            if (result := row.pop("result", None)) is None:
                continue
            for name in row.keys() & {"text", "text_given"}:
                row[name] = " ".join(row[name].split())
            if not row.get("text"):
                row.pop("text", None)  # with --no_text
            yield utt, {"wav.scp": result.entry} | row

    there = datadir.table_names(args.data_dir)
    wanted = ("text", "utt2spk", "text_given")
    names = ["wav.scp", *(name for name in wanted if name in there)]
    datadir.write_rows(args.data_dir, rows(), names, args.output_dir)
    write_text(args.output_dir / "sample_rate", f"{rate}\n")
    samples = (f"{utt} {result.num_samples}" for utt, result in kept())
    write_lines(args.output_dir / "utt2num_samples", samples)


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
    add("--no_text", action="store_true", help="text may lack: bin.transcribe follows")
    add("--nj", type=jobs, default=1, help="processes")
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    format_directory(args)


if __name__ == "__main__":
    run(main)
