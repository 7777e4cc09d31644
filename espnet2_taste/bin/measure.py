"""Measure a shard of what ``bin.score`` scores: words, word times, pitch and meters.

``bin.score`` measures what it needs itself; this does it in several jobs beforehand.
Run it once per part of the utterances with ``--output_dir <scores>/measures/output.N``
and ``--cache_dir <scores>/measures``, then ``bin.score`` with ``--output_dir <scores>``
and the same other options: all of them, so that what one refuses so does the other.
Writes ``<instrument>/<row>.jsonl``, a line per recording.
"""

import argparse
import logging
from pathlib import Path

from espnet2_taste.bin import command, run, score
from espnet2_taste.bin.measure_options import read_plan
from espnet2_taste.evaluate.scorers.measure import measure
from espnet2_taste.evaluate.scorers.measure_cache import MeasureCache


def get_parser() -> argparse.ArgumentParser:
    parser = score.get_parser()
    parser.description = __doc__
    add = parser.add_argument
    add("--key_file", type=Path, help="utterances of this shard (default: all)")
    add("--cache_dir", type=Path, help="read besides: nothing is measured twice")
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    if args.ref_dir is None:
        raise ValueError("give --ref_dir")
    cache = MeasureCache(args.output_dir, [args.cache_dir] if args.cache_dir else [])
    jobs = read_plan(args).jobs(args.key_file)
    measured = measure(jobs, cache, args.nj, args.batch_size)
    logging.info("%d measurements made", measured.done)


if __name__ == "__main__":
    run(main)
