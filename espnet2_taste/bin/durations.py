"""Units of each word, durations.scp, from its borders (``bin.align``) and units."""

import argparse
import logging
from pathlib import Path

from espnet2_taste.asr.word_targets import unit_durations
from espnet2_taste.bin import command, run
from espnet2_taste.io.arks import ArkWriter, load_array
from espnet2_taste.io.sorted_tables import join, sorted_entries


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--borders", type=Path, required=True, help="borders.scp")
    parser.add_argument("--units", type=Path, required=True, help="units.scp")
    parser.add_argument("--output_dir", type=Path, required=True)
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    skipped = 0
    tables = {"borders": sorted_entries(args.borders)}
    tables["units"] = sorted_entries(args.units)
    with ArkWriter(args.output_dir, "durations") as writer:
        for key, row in join(tables):
            if len(row) < len(tables):
                continue
            borders = load_array(f"{args.borders}: {key}", row["borders"])
            units = load_array(f"{args.units}: {key}", row["units"])
            try:
                writer[key] = unit_durations(borders, len(units))
            except ValueError as error:
                logging.warning("skipped %s: %s", key, error)
                skipped += 1
    if skipped:
        logging.warning("%s: skipped %d utterances", args.output_dir, skipped)


if __name__ == "__main__":
    run(main)
