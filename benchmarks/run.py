"""Run benchmarks and print a Markdown table.

python -m benchmarks.run --config medium
python -m benchmarks.run --config paper --device cuda --only units,taslm
"""

import argparse
import dataclasses
import importlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.measure import PeakMemory, Timer, machine
from benchmarks.setup import CONF, Setup
from benchmarks.table import Row, headline, markdown

BENCHMARKS = ("tokenizer", "units", "taslm", "vocoder", "kernels", "memory")
#: Run when named: absolute numbers, whose naive ways are above.
ON_REQUEST = ("precision", "training", "realtime", "streaming", "fit", "same_work")
ON_REQUEST += ("solvers", "weights", "compiled")
GIB = 2**30


def measure(name: str, setup: Setup, timer: Timer) -> Iterator[Row]:
    """Rows of one benchmark, and the memory it took."""
    if setup.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(setup.device)
    with PeakMemory() as memory:
        yield from importlib.import_module(f"benchmarks.{name}").run(setup, timer)
    if setup.device.type == "cpu" and name != "memory":
        yield Row("peak memory", memory.gib, unit="GiB", note="all models so far")
    if setup.device.type == "cuda" and name != "memory":
        peak = torch.cuda.max_memory_allocated(setup.device) / GIB
        yield Row("peak GPU memory", peak, unit="GiB", note="all models so far")


def parse(cmd: list[str] | None) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = (*BENCHMARKS, *ON_REQUEST)
    parser.add_argument("--config", default="medium", help=f"a file in {CONF.name}/")
    parser.add_argument("--device", default="cpu", help="torch device")
    parser.add_argument(
        "--only",
        help=f"some of {','.join(known)}; without, {','.join(BENCHMARKS)}",
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs per median")
    parser.add_argument("--threads", type=int, help="torch threads on the CPU")
    parser.add_argument("--seconds", type=float, help="at most so long in `fit`")
    parser.add_argument("--output", type=Path, help="also to this .md or .json file")
    args = parser.parse_args(cmd)
    args.only = args.only.split(",") if args.only else list(BENCHMARKS)
    unknown = set(args.only) - set(known)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; see --help")
    return args


def main(cmd: list[str] | None = None) -> dict[str, list[Row]]:
    """Measure, print, write; also returns the rows."""
    args = parse(cmd)
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.backends.cudnn.allow_tf32 = False  # results are compared in float32
    setup = Setup(args.config, args.device)
    if args.seconds is not None:
        setup.work.fit_seconds = args.seconds
    timer = Timer(setup.device, args.repeats)
    command = ["python -m benchmarks.run", *(sys.argv[1:] if cmd is None else cmd)]
    about = {"command": f"`{' '.join(command)}`"} | machine(setup.device)
    results: dict[str, list[Row]] = {}
    try:
        for name in args.only:
            start, results[name] = time.perf_counter(), []
            for row in measure(name, setup, timer):
                results[name].append(row)
                print(f"{name}: {row}", file=sys.stderr)
            print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    finally:  # what was measured before a failure, too
        print(markdown(results, about))
        if args.output is not None:
            write(args.output, results, about)
    print(headline(results))
    return results


def write(path: Path, results: dict[str, list[Row]], about: dict[str, str]) -> None:
    """The table or, to a .json file, everything."""
    rows = {k: [dataclasses.asdict(r) for r in v] for k, v in results.items()}
    text = json.dumps({"machine": about, "rows": rows}, indent=2)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text if path.suffix == ".json" else markdown(results, about))
    temporary.rename(path)


if __name__ == "__main__":
    main()
