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
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gpus  # beside this file

BACKENDS = ("run", "slurm", "pbs", "queue")
REPOSITORY = Path(__file__).resolve().parents[1]


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
    if args.variable and args.last > args.first and args.variable not in args.log:
        parser.error(f"{args.log}: the log's name must contain {args.variable}")
    return args


def fill(args: argparse.Namespace, job: int) -> tuple[Path, list[str]]:
    """Log and command of one job."""
    if not args.variable:
        return Path(args.log), args.command

    def put(text: str) -> str:
        return text.replace(args.variable, str(job))

    return Path(put(args.log)), [put(word) for word in args.command]


LIBC = ctypes.CDLL(None)


def die_with_parent():
    """Have Linux end this process when cmd.py is killed."""
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

    def watch(self, pid: int):
        """End when the recipe ends, even by SIGKILL: no job writes after it."""
        while not self.stopped:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                self.stop(signal.SIGTERM, None)
            time.sleep(1)

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


def run_local(args: argparse.Namespace) -> list[Path]:
    """Run the jobs here, ``--max_jobs_run`` at once; return the failed logs."""
    try:
        jobs = LocalJobs(args.gpu or 0)
    except ValueError as error:
        raise SystemExit(f"run.pl: --gpu {args.gpu}: {error}") from None
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, jobs.stop)
    if "RECIPE_PID" in os.environ:
        pid = int(os.environ["RECIPE_PID"])
        threading.Thread(target=jobs.watch, args=(pid,), daemon=True).start()
    numbers = range(args.first, args.last + 1)
    filled = [fill(args, job) for job in numbers]
    with ThreadPoolExecutor(args.max_jobs_run or len(filled)) as pool:
        statuses = list(pool.map(lambda pair: jobs.run(*pair), filled))
    return [
        log for (log, _), status in zip(filled, statuses, strict=True) if status != 0
    ]


def cluster_options(args: argparse.Namespace) -> list[str]:
    """Submission command and flags from the config's `command` and `option` lines."""
    path = Path(args.config or f"conf/{args.backend}.conf")
    if not args.config and not path.is_file():
        path = REPOSITORY / path  # egs2/taste/TEMPLATE/conf
    if not path.is_file():
        raise SystemExit(f"cmd.py: no config file {path}")
    lines = [line.split("#")[0].split() for line in path.read_text().splitlines()]
    wanted = {
        name: str(getattr(args, name))
        for name in ("gpu", "mem", "time", "num_threads", "num_nodes")
        if getattr(args, name) is not None
    }
    command, options, defaults = [], {}, {}
    for words in filter(None, lines):
        if words[0] == "command":
            command = words[1:]
        elif words[0] == "default" and "=" in words[1]:
            name, _, value = words[1].partition("=")
            defaults[name] = value
        elif words[0] == "option" and len(words) > 1 and "=" in words[1]:
            options[words[1]] = words[2:]
        else:
            raise SystemExit(f"cmd.py: {path}: cannot read line '{' '.join(words)}'")
    if not command:
        raise SystemExit(f"cmd.py: {path} has no 'command' line")
    for name, value in (defaults | wanted).items():
        flags = options.get(f"{name}={value}", options.get(f"{name}=*"))
        if flags is None:
            raise SystemExit(f"cmd.py: {path} has no option {name}={value}")
        command += [flag.replace("$0", value) for flag in flags]
    for flag in "qlp":
        command += [
            word for value in getattr(args, flag) for word in (f"-{flag}", value)
        ]
    return command


def write_script(args: argparse.Namespace, folder: Path) -> Path:
    """One script for all jobs; every task leaves its exit status in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    task = {"slurm": "SLURM_ARRAY_TASK_ID", "pbs": "PBS_ARRAY_INDEX"}
    lines = [
        "#!/usr/bin/env bash",
        f"cd {shlex.quote(os.getcwd())} || exit 1",
        f'case "${{{task.get(args.backend, "SGE_TASK_ID")}:-{args.first}}}" in',
    ]
    for job in range(args.first, args.last + 1):
        log, command = fill(args, job)
        log.parent.mkdir(parents=True, exist_ok=True)
        status = folder / f"status.{job}"
        status.unlink(missing_ok=True)
        where = shlex.quote(str(log))
        pattern = job if args.last > args.first else "*"
        lines.append(
            f"{pattern}) echo '# Running on' \"$(hostname)\" > {where}; "
            f"{shlex.join(command)} >> {where} 2>&1; code=$?; "
            f'echo "# Ended (code $code)" >> {where}; '
            f"echo $code > {shlex.quote(str(status))}; exit $code ;;"
        )
    script = folder / "jobs.sh"
    script.write_text("\n".join([*lines, "esac", ""]))
    return script


def run_cluster(args: argparse.Namespace) -> list[Path]:
    """Submit one (array) job, wait for it; return the logs of failed tasks."""
    log = Path(args.log.replace(args.variable, "ALL") if args.variable else args.log)
    folder = log.parent / "q" / log.stem
    script = write_script(args, folder)
    command = cluster_options(args)
    tasks = f"{args.first}-{args.last}"
    limit = args.max_jobs_run
    scheduler_log = str(folder / "scheduler.log")
    if args.backend == "slurm":
        command += ["--wait", "--open-mode=append", "-o", scheduler_log]
        command += ["-J", (args.name or log.stem)[:40]]
        if args.last > args.first:
            command += [f"--array={tasks}" + (f"%{limit}" if limit else "")]
    elif args.backend == "pbs":
        command += ["-W", "block=true", "-j", "oe", "-o", scheduler_log]
        command += ["-N", args.name] if args.name else []
        if args.last > args.first:
            command += ["-J", tasks]
    else:
        command += ["-sync", "y", "-j", "y", "-o", scheduler_log]
        command += ["-N", args.name] if args.name else []
        if args.last > args.first:
            command += ["-t", tasks] + (["-tc", str(limit)] if limit else [])
    try:
        done = subprocess.run([*command, str(script)], check=False)
    except OSError as error:
        raise SystemExit(f"cmd.py: cannot submit: {error}") from None
    failed = []
    for job in range(args.first, args.last + 1):
        status = folder / f"status.{job}"
        if not status.is_file() or status.read_text().strip() != "0":
            failed.append(fill(args, job)[0])
    if done.returncode and not failed:
        print(f"cmd.py: {command[0]} returned {done.returncode}", file=sys.stderr)
    return failed


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in BACKENDS:
        sys.exit(f"Usage: cmd.py run|slurm|pbs|queue ...\n{__doc__}")
    args = parse(sys.argv[1], sys.argv[2:])
    failed = run_local(args) if args.backend == "run" else run_cluster(args)
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
