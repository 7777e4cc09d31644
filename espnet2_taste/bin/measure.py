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
from espnet2_taste.bin.measure_options import measured_rows


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
    *_, done = measured_rows(args, args.output_dir, args.key_file)
    logging.info("%d measurements made", done)


if __name__ == "__main__":
    run(main)
