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
from pathlib import Path

import torch

from benchmarks.measure import Row, Timer, machine
from benchmarks.setup import CONF, Setup

BENCHMARKS = ("tokenizer", "units", "taslm", "vocoder", "kernels", "memory")
GIB = 2**30


def measure(name: str, setup: Setup, timer: Timer) -> list[Row]:
    """Rows of one benchmark, on a GPU with the memory it took."""
    if setup.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(setup.device)
    rows = list(importlib.import_module(f"benchmarks.{name}").run(setup, timer))
    if setup.device.type == "cuda" and name != "memory":
        peak = torch.cuda.max_memory_allocated(setup.device) / GIB
        rows.append(Row("peak GPU memory", peak, unit="GiB", note="all models so far"))
    return rows


def markdown(results: dict[str, list[Row]], about: dict[str, str]) -> str:
    """The table, below the machine."""
    lines = [f"{name}: {value}  " for name, value in about.items()]
    lines += [
        "",
        "| | median | better than | by | target | |",
        "|---|--:|---|--:|---|---|",
    ]
    for name, rows in results.items():
        lines.append(f"| **{name}** | | | | | |")
        for row in rows:
            ratio = "" if row.ratio is None else f"{row.ratio:.1f} x"
            cells = (row.case, _number(row.value, row.unit), row.against)
            lines.append(
                "| " + " | ".join((*cells, ratio, row.target, row.note)) + " |"
            )
    return "\n".join(lines) + "\n"


def _number(value: float, unit: str) -> str:
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} {unit}"


def parse(cmd: list[str] | None) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="medium", help=f"a file in {CONF.name}/")
    parser.add_argument("--device", default="cpu", help="torch device")
    parser.add_argument("--only", help=f"some of {','.join(BENCHMARKS)}")
    parser.add_argument("--repeats", type=int, default=3, help="runs per median")
    parser.add_argument("--threads", type=int, help="torch threads on the CPU")
    parser.add_argument("--output", type=Path, help="also to this .md or .json file")
    args = parser.parse_args(cmd)
    args.only = args.only.split(",") if args.only else list(BENCHMARKS)
    unknown = set(args.only) - set(BENCHMARKS)
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
    timer = Timer(setup.device, args.repeats)
    results = {}
    for name in args.only:
        start = time.perf_counter()
        results[name] = measure(name, setup, timer)
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    command = ["python -m benchmarks.run", *(sys.argv[1:] if cmd is None else cmd)]
    about = {"command": f"`{' '.join(command)}`"} | machine(setup.device)
    table = markdown(results, about)
    print(table)
    if args.output is not None:
        rows = {k: [dataclasses.asdict(r) for r in v] for k, v in results.items()}
        text = json.dumps({"machine": about, "rows": rows}, indent=2)
        temporary = args.output.with_name(args.output.name + ".tmp")
        temporary.write_text(text if args.output.suffix == ".json" else table)
        temporary.rename(args.output)
    return results


if __name__ == "__main__":
    main()
