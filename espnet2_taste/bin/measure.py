"""Measure a shard of what ``bin.score`` scores: words, word times, pitch and meters.

``bin.score`` measures what it needs itself; this does it in several jobs beforehand.
Run it once per part of the utterances with ``--output_dir <scores>/measures/output.N``
and ``--cache_dir <scores>/measures``, then ``bin.score`` with ``--output_dir <scores>``
and the same other options: all of them, so that what one refuses so does the other.
Writes ``<scorer>/<row>.jsonl``, a line per recording.
"""

import argparse
import logging
from pathlib import Path

from espnet2_taste.bin import command, run, score
from espnet2_taste.bin.measure_options import Scorers
from espnet2_taste.evaluate.measure import measure
from espnet2_taste.evaluate.rows import read_rows
from espnet2_taste.io.tables import read_lines, split_fields


def get_parser() -> argparse.ArgumentParser:
    parser = score.get_parser()
    parser.description = __doc__
    add = parser.add_argument
    add("--key_file", type=Path, help="utterances of this shard (default: all)")
    add("--cache_dir", type=Path, help="read besides, with its shards")
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    if args.ref_dir is None:
        raise ValueError("give --ref_dir")
    rows = read_rows(args.ref_dir, args.rows, args.continuation_rows)
    keys = None
    if args.key_file is not None:
        keys = {split_fields(line)[0] for _, line in read_lines(args.key_file)}
        if foreign := sorted(keys - rows[0].texts.keys()):
            raise ValueError(
                f"{args.key_file}: {foreign[0]} is not in the reference set"
            )
    chosen = Scorers(args)
    _, done = measure(
        rows,
        {row.key: chosen.of(row) for row in rows},
        args.output_dir,
        args.nj,
        args.batch_size,
        keys,
        args.cache_dir,
    )
    logging.info("%d measurements made", done)


if __name__ == "__main__":
    run(main)
