"""Measure a shard of what ``bin.score`` scores: words, word times, pitch and meters.

``bin.score`` measures what it needs itself; this does it in several jobs beforehand.
Run it once per part of the utterances with ``--output_dir <scores>/measures/output.N``,
then ``bin.score`` with ``--output_dir <scores>`` and the same other options: all of
them, so that what one refuses so does the other. Writes ``<scorer>/<row>.jsonl``, a
line per recording; what ``<scores>/measures`` has is not done again.
"""

import argparse
import logging
from pathlib import Path

from espnet2_taste.bin import command, run, score
from espnet2_taste.bin.measure_options import Scorers
from espnet2_taste.evaluate.measure import measure
from espnet2_taste.evaluate.rows import read_rows
from espnet2_taste.io.tables import read_keys


def get_parser() -> argparse.ArgumentParser:
    parser = score.get_parser()
    parser.description = __doc__
    parser.add_argument(
        "--key_file", type=Path, help="utterances of this shard (default: all)"
    )
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    if args.ref_dir is None:
        raise ValueError("give --ref_dir")
    rows = read_rows(args.ref_dir, args.rows, args.continuation_rows)
    keys = None
    if args.key_file is not None:
        keys = set(read_keys(args.key_file))
        if foreign := sorted(keys - rows[0].texts.keys()):
            raise ValueError(
                f"{args.key_file}: {foreign[0]} is not in the reference set"
            )
    scorers = Scorers(args)
    for row in rows:
        row.scorers = scorers.of(row)
    _, done = measure(rows, args.output_dir, args.nj, args.batch_size, keys)
    logging.info("%d measurements made", done)


if __name__ == "__main__":
    run(main)
