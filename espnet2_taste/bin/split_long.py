"""Cut the utterances of a data directory that are too long: no audio is copied.

Writes a data directory with ``segments``, and ``pieces``: of each piece its utterance,
start and end in seconds (``<utterance>-<start>-<end>`` in ms is its id). With word
times in ``words.ctm`` cuts are in the longest pause between words near an even division
and each piece gets its words; else they are where it is quietest, and the pieces have
no text: bin.transcribe gives them one.
"""

import argparse
import heapq
import json
import logging
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from math import inf
from operator import itemgetter
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.numbers import real


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("data_dir", type=Path, help="Kaldi data directory")
    add("output_dir", type=Path, help="e.g. dump/raw/split/train")
    limit = real(0, 1e7, above=True)
    add("--max_wav_duration", type=limit, default=30.0, help="seconds of a piece")
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    from espnet2_taste.io import datadir
    from espnet2_taste.io.atomic import replacing_folder, write_lines
    from espnet2_taste.io.sorted_tables import read_sorted
    from espnet2_taste.io.sorting import sorted_lines

    folder = args.data_dir
    if args.output_dir.resolve() == folder.resolve():
        raise ValueError(f"{folder} would be overwritten: another output_dir")
    splitter = Splitter(folder, args.max_wav_duration)
    names = {"text", "utt2spk", "utt2dur"} & set(datadir.table_names(folder))
    with replacing_folder(args.output_dir) as new:
        rows = sorted_lines(f"{k}\0{json.dumps(row)}" for k, row in splitter.rows())
        tables = [*sorted(names), "segments", "pieces"]
        datadir.write_rows(folder, _unique(rows), tables, new)
        if (new / "words.ctm").is_file():
            kept = ((key, line) for key, _, line in read_sorted(new / "words.ctm"))
            cut = sorted(splitter.words, key=itemgetter(0))
            both = heapq.merge(kept, cut, key=itemgetter(0))
            write_lines(new / "words.ctm", (line for _, line in both))
    splitter.report(args.output_dir)


def _unique(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of sorted lines.

    Raises:
        ValueError: a piece has an id that another utterance has.
    """
    last = None
    for line in lines:
        key, row = line.split("\0")
        if key == last:
            raise ValueError(f"id {key} of a piece is another utterance's, too")
        last = key
        yield key, json.loads(row)


class Splitter:
    """The utterances of a data directory, those that are too long as pieces.

    Args:
        folder: the directory.
        limit: seconds.

    Attributes:
        words: (id, line of words.ctm) of pieces.
    """

    def __init__(self, folder: Path, limit: float):
        self.folder, self.limit = folder, limit
        self.count, self.pieces, self.how = 0, 0, Counter()
        self.words: list[tuple[str, str]] = []

    def rows(self) -> Iterator[tuple[str, dict[str, str]]]:
        """(id, {table: value}); not sorted, for pieces have other ids.

        Raises:
            ValueError: an array would have to be cut, or a table is malformed.
        """
        from espnet2_taste.io import datadir
        from espnet2_taste.io.conversion import Job
        from espnet2_taste.io.segments import Segment
        from espnet2_taste.io.sorted_tables import join, read_sorted, sorted_entries
        from espnet2_taste.io.tables import parse_seconds, read_table

        tables = datadir.open_tables(self.folder, text=False)
        if "utt2dur" in tables:
            lengths = sorted_entries(self.folder / "utt2dur", parse=parse_seconds)
            tables["utt2dur"] = lengths
        arrays = [n for n in tables if n.endswith(".scp") and n != "wav.scp"]
        recordings = {}
        if "segments" in tables:
            recordings = read_table(self.folder / "wav.scp", allow_empty=True)
        ctm = self.folder / "words.ctm"
        if ctm.is_file():
            groups = groupby(read_sorted(ctm), key=itemgetter(0))
            lines = ((key, [line for *_, line in found]) for key, found in groups)
            tables["words"] = lines
        for utt, row in join(tables):
            if "utt2spk" not in row:
                continue
            self.count += 1
            whole = row.get("segments", f"{utt} 0 -1")
            segment = Segment.parse(whole)
            entry = row.get("wav.scp") or recordings.get(segment.recording, "")
            part = segment if "segments" in row else None
            job = Job(utt, entry, part, row.get("utt2dur"))
            pieces = self._split(job, row)
            kept = {k: row[k] for k in ("text", "utt2spk", "utt2dur") if k in row}
            if not pieces:
                yield utt, kept | {"segments": whole}
            elif arrays:
                raise ValueError(
                    f"{self.folder}/{arrays[0]} would have to be cut, too: "
                    "--long_utts drop"
                )
            else:
                yield from self._cut(utt, kept, segment, pieces)

    def _split(self, job, row: dict) -> list:
        """The pieces of an utterance; [] of one that is not too long.

        What cannot be read stays: bin.format_wav says what is wrong with it.
        """
        from espnet2_taste.asr.splitting import split_by_pauses, split_by_words
        from espnet2_taste.io.audio import to_mono
        from espnet2_taste.io.conversion import Dropped, read_source
        from espnet2_taste.io.ctm import parse_ctm_line

        seconds = _seconds(job) if job.seconds is None else job.seconds
        if seconds is not None and seconds <= self.limit:
            return []
        try:
            wav, rate = read_source(job, inf)
        except (Dropped, OSError, ValueError):
            return []
        if len(wav) / rate <= self.limit:
            return []
        if "words" in row:
            words = [parse_ctm_line(line)[1] for line in row["words"]]
            text, whole = row.get("text", ""), len(wav) / rate
            try:
                pieces = split_by_words(words, text, whole, self.limit)
                self.how["between words"] += 1
                return pieces
            except ValueError as error:
                logging.warning("%s: cut where it is quiet: %s", job.utt, error)
        self.how["where it is quiet"] += 1
        return split_by_pauses(to_mono(wav), rate, self.limit)

    def _cut(
        self, utt: str, row: dict, segment, pieces: list
    ) -> Iterator[tuple[str, dict[str, str]]]:
        """Rows of the pieces; the last ends where the utterance does."""
        from espnet2_taste.asr.splitting import piece_id

        channel = "" if segment.channel is None else f" {segment.channel}"
        self.pieces += len(pieces)
        for piece in pieces:
            name, end = piece_id(utt, piece), f"{segment.start + piece.end:.4f}"
            if piece is pieces[-1]:
                end = "-1" if segment.end is None else f"{segment.end}"
            start = f"{segment.start + piece.start:.4f}"
            cut = {"utt2spk": row["utt2spk"]}
            cut["segments"] = f"{segment.recording} {start} {end}{channel}"
            cut["pieces"] = f"{utt} {piece.start:.3f} {piece.end:.3f}"
            if "utt2dur" in row:
                cut["utt2dur"] = f"{piece.end - piece.start:.3f}"
            if piece.text and "text" in row:
                cut["text"] = piece.text
            for w in piece.words or ():
                line = f"{name} 1 {w.start:.3f} {w.duration:.3f} {w.word}"
                self.words.append((name, line))
            yield name, cut

    def report(self, folder: Path) -> None:
        """Log what was cut."""
        logging.info(
            "%s: %d of %d utterances over %g s became %d pieces%s",
            folder,
            sum(self.how.values()),
            self.count,
            self.limit,
            self.pieces,
            "".join(f"; {n} cut {kind}" for kind, n in sorted(self.how.items())),
        )


def _seconds(job) -> float | None:
    """Length by segment or header; None: only its audio tells."""
    import soundfile

    if job.segment is not None and job.segment.end is not None:
        return job.segment.end - job.segment.start
    if job.segment is None and Path(job.source).is_file():
        try:
            info = soundfile.info(job.source)
        except RuntimeError:
            return None
        return info.duration if info.format != "MP3" else None  # may not know it
    return None


if __name__ == "__main__":
    run(main)
