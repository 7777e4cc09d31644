#!/usr/bin/env python3
"""Run a command, or JOB=1:n of them, locally or on a cluster, logging to files.

    run.pl [options] [JOB=1:n] <log> <command> [args...]

Same calls as Kaldi's run.pl, slurm.pl, pbs.pl and queue.pl (SGE), which are two-line
shims on this file. Options: --gpu N --mem 4G --num_threads N --time H:MM:SS
--max_jobs_run N --num_nodes N --name NAME --config FILE, and -q -l -p VALUE for the
scheduler (run.pl ignores them). ``JOB`` in log and command becomes the job's number.
Exit status 1 and one line naming the log if a job fails. Locally, --gpu N gives a job
the N GPUs that the fewest other jobs use (see gpus.py), by setting its
CUDA_VISIBLE_DEVICES; the log names them.
"""

import argparse
import ctypes
import datetime
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import clusters  # beside this file
import gpus

BACKENDS = ("run", *clusters.SCHEDULERS)


def parse(backend: str, argv: list[str]) -> argparse.Namespace:
    """Options, then JOB=a:b, the log and the command."""
    parser = argparse.ArgumentParser(
        prog=f"{backend}.pl",
        usage="%(prog)s [options] [JOB=1:n] <log> <command> [args...]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name in ("gpu", "num-threads", "num-nodes", "max-jobs-run"):
        alias = "--" + name.replace("-", "_")
        parser.add_argument(f"--{name}", *[alias] * (alias != f"--{name}"), type=int)
    for name in ("--mem", "--time", "--config", "--name"):
        parser.add_argument(name)
    parser.add_argument("--allow-scratch", action="store_true")  # Kaldi's; not needed
    for name in ("-q", "-l", "-p"):
        parser.add_argument(name, action="append", default=[])
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    args.backend = backend
    args.first, args.last, args.variable = 1, 1, None
    rest = args.rest
    match = re.fullmatch(r"([A-Za-z_]\w*)=(\d+)(?::(\d+))?", rest[0]) if rest else None
    if match:
        args.variable = match[1]
        args.first, args.last = int(match[2]), int(match[3] or match[2])
        rest = rest[1:]
    if len(rest) < 2:
        parser.error("expected: [options] [JOB=1:n] <log> <command> [args...]")
    if args.first > args.last:
        parser.error(f"empty job range {args.first}:{args.last}")
    args.log, args.command = rest[0], rest[1:]
    args.common_log = put(args, args.log, "ALL")
    if args.last > args.first and args.common_log == args.log:
        parser.error(f"{args.log}: the log's name must contain {args.variable}")
    return args


def put(args: argparse.Namespace, text: str, value: object) -> str:
    """The text with ``value`` for JOB, but where that is in the midst of a word."""
    if not args.variable:
        return text
    return re.sub(rf"(?<![A-Za-z]){args.variable}(?![A-Za-z])", str(value), text)


def fill(args: argparse.Namespace, job: int) -> tuple[Path, list[str]]:
    """Log and command of one job."""
    return Path(put(args, args.log, job)), [put(args, w, job) for w in args.command]


LIBC = ctypes.CDLL(None)


def die_with_parent():
    """Have Linux send this process SIGTERM when its parent has ended."""
    LIBC.prctl(1, signal.SIGTERM)  # 1 = PR_SET_PDEATHSIG


class LocalJobs:
    """Runs jobs on this machine; a signal to us ends all of them.

    Args:
        num_gpus: of each job; 0 leaves its environment alone.

    Raises:
        ValueError: fewer are here.
    """

    def __init__(self, num_gpus: int = 0):
        self.num_gpus = num_gpus
        self.gpus = gpus.require(num_gpus) if num_gpus else []
        self.running: set[subprocess.Popen] = set()
        self.lock = threading.Lock()
        self.stopped = False

    def stop(self, signum, _frame):
        self.stopped = True
        for process in list(self.running):
            try:
                process.terminate()
            except ProcessLookupError:
                pass
        os._exit(128 + signum)

    def run(self, log: Path, command: list[str]) -> int:
        """Run one job, on GPUs of its own if it asked for some."""
        if not self.num_gpus:
            return self._run(log, command, {})
        with gpus.claim(self.num_gpus, self.gpus) as names:
            return self._run(log, command, {gpus.VARIABLE: ",".join(names)})

    def _run(self, log: Path, command: list[str], variables: dict[str, str]) -> int:
        """Run one job; the log has Kaldi's header and footer."""
        log.parent.mkdir(parents=True, exist_ok=True)
        started = datetime.datetime.now()
        with open(log, "w", encoding="utf-8", errors="replace") as f:
            f.write(f"# {shlex.join(command)}\n")
            f.writelines(f"# {name}={value}\n" for name, value in variables.items())
            f.write(f"# Started at {started:%c}\n#\n")
            f.flush()
            try:
                with self.lock:
                    if self.stopped:
                        return 1
                    process = subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=f,
                        stderr=subprocess.STDOUT,
                        env={**os.environ, **variables},
                        preexec_fn=die_with_parent,
                    )
                    self.running.add(process)
                status = process.wait()
                self.running.discard(process)
            except OSError as error:
                f.write(f"{error}\n")
                status = 127
            seconds = (datetime.datetime.now() - started).total_seconds()
            f.write(f"# Accounting: time={seconds:.0f} threads=1\n")
            f.write(f"# Ended (code {status}) after {seconds:.1f} s\n")
        return status


def run_local(args: argparse.Namespace, filled: dict) -> list[Path]:
    """Run the jobs here, ``--max_jobs_run`` at once; return the failed logs.

    Args:
        filled: number -> (log, command).
    """
    try:
        jobs = LocalJobs(args.gpu or 0)
    except ValueError as error:
        raise SystemExit(f"run.pl: --gpu {args.gpu}: {error}") from None
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, jobs.stop)
    with ThreadPoolExecutor(args.max_jobs_run or len(filled)) as pool:
        statuses = list(pool.map(lambda pair: jobs.run(*pair), filled.values()))
    return [
        log
        for (log, _), status in zip(filled.values(), statuses, strict=True)
        if status != 0
    ]


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in BACKENDS:
        sys.exit(f"Usage: cmd.py run|slurm|pbs|queue ...\n{__doc__}")
    args = parse(sys.argv[1], sys.argv[2:])
    if "RECIPE_PID" in os.environ:  # in a recipe; by hand, a launcher may be left alone
        die_with_parent()
    jobs = {n: fill(args, n) for n in range(args.first, args.last + 1)}
    if args.backend == "run":
        failed = run_local(args, jobs)
    else:
        failed = clusters.run(args, jobs)
    if failed:
        count = args.last - args.first + 1
        print(
            f"{args.backend}.pl: {len(failed)} of {count} job(s) failed, "
            f"log is in {failed[0]}",
            file=sys.stderr,
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
