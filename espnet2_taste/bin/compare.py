"""Compare systems side by side, with paired bootstrap intervals.

Every argument is a scores folder (output_dir of ``bin.score``) or an experiment folder
that holds one; ``name=path`` names it, ``path:row`` picks its row. For every table and
metric that all systems have: each one's value and 95 % interval, its difference to the
first system, 95 % interval and two-sided p (see ``evaluate.comparison``). A * marks
p <= 0.05 after Holm's correction over all the differences of one table. Prints
Markdown; ``--output_dir`` also gets ``compare.md``, ``compare.json``, ``compare.csv``.
"""

import argparse
import json
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.numbers import positive, seed
from espnet2_taste.evaluate.comparison import RESAMPLES
from espnet2_taste.evaluate.side_by_side import (
    comparison_csv,
    comparison_markdown,
    comparison_results,
    parse_systems,
)
from espnet2_taste.io.atomic import write_text


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("systems", nargs="+", metavar="SYSTEM", help="[name=]folder[:row[:seed]]")
    add(
        "--rows",
        nargs="+",
        default=[],
        help="rows of every system (default: taste, taslm and every shared test)",
    )
    add("--output_dir", type=Path, help="for compare.md, compare.json, compare.csv")
    add("--resamples", type=positive, default=RESAMPLES, help="of the bootstrap")
    add("--seed", type=seed, default=0)
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    systems = parse_systems(args.systems)
    results = comparison_results(systems, args.rows, args.resamples, args.seed)
    text = comparison_markdown(results)
    print(text)
    if args.output_dir:
        args.output_dir.mkdir(parents=True, exist_ok=True)
        contents = {
            "compare.md": text,
            "compare.csv": comparison_csv(results),
            "compare.json": json.dumps(results, indent=1, allow_nan=False) + "\n",
        }
        for name, content in contents.items():
            write_text(args.output_dir / name, content)


if __name__ == "__main__":
    run(main)
