"""Memory and start-up time of every stage's worker on a manifest of millions of lines.

python -m benchmarks.long_corpus                        # 2 million utterances, 32 jobs
python -m benchmarks.long_corpus --lines 20000 --only workers

The manifest is synthetic: its entries point to a few recordings and arrays. A worker
gets its shard, 1 / nj of the utterances, and is stopped at its first outputs: what is
measured is what every worker pays. Steps that read whole tables run to their end. The
models are tiny, with random weights: theirs is another memory.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.long_corpus_cases import resumed, steps, training, workers
from benchmarks.long_corpus_data import make_corpus
from benchmarks.measure import machine
from benchmarks.table import Row, markdown

GROUPS = {
    "steps": steps,
    "workers": workers,
    "training": training,
    "resumed": resumed,
}


def rows(args: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Row]]:
    """Group and row of each case, as it is measured."""
    make_corpus(folder, args.lines, args.nj)
    for name in args.only:
        for case in GROUPS[name](folder, args):
            for row in case:
                print(f"{name}: {row.case}: {row.value:.2f} {row.unit} {row.note}")
                yield name, row


def parse(cmd: list[str] | None) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--lines", type=int, default=2_000_000, help="utterances")
    add("--nj", type=int, default=32, help="jobs that a set is divided into")
    add("--num_splits", type=int, default=16, help="parts of a training set")
    add("--only", default=",".join(GROUPS), help=f"some of {','.join(GROUPS)}")
    add("--cases", default="", help="only cases whose name has this in it")
    add("--folder", type=Path, help="to work in, and to keep; default: a temporary one")
    add("--output", type=Path, help="also to this .md file")
    args = parser.parse_args(cmd)
    args.only = args.only.split(",")
    unknown = set(args.only) - GROUPS.keys()
    if unknown:
        parser.error(f"no group {', '.join(sorted(unknown))}; see --help")
    return args


def main(cmd: list[str] | None = None) -> dict[str, list[Row]]:
    """Measure, print, write; also returns the rows."""
    args = parse(cmd)
    folder = args.folder or Path(tempfile.mkdtemp(prefix="long_corpus."))
    words = sys.argv[1:] if cmd is None else cmd
    command = " ".join(["python -m benchmarks.long_corpus", *words])
    about = {"command": f"`{command}`"} | machine(torch.device("cpu"))
    results: dict[str, list[Row]] = {}
    try:
        for name, row in rows(args, folder):
            results.setdefault(name, []).append(row)
    finally:
        table = markdown(results, about)
        print(table)
        if args.output is not None:
            args.output.write_text(table)
        if args.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    return results


if __name__ == "__main__":
    main()
