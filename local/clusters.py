"""Jobs on Slurm, PBS or SGE: one submission, then a wait for all tasks (see cmd.py)."""

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[1]
Jobs = dict[int, tuple[Path, list[str]]]  # number -> its log and its command


class Scheduler(NamedTuple):
    """What differs between schedulers, beside the flags in ``conf/<backend>.conf``."""

    task: str  # the variable that holds a task's number
    ask: list[str]  # tells of the job whose id follows, while there is one
    cancel: str
    submit: list[str]  # has the id printed
    output: list[str]  # where the scheduler's own messages go: a file follows
    name: str
    array: str
    at_once: str  # limits an array's tasks that run at once


SCHEDULERS = {
    "slurm": Scheduler(
        task="SLURM_ARRAY_TASK_ID",
        ask=["squeue", "-h", "-o", "%T", "-j"],
        cancel="scancel",
        submit=["--parsable", "--open-mode=append"],
        output=["-o"],
        name="-J",
        array="--array={tasks}",
        at_once="%{limit}",
    ),
    "pbs": Scheduler(
        task="PBS_ARRAY_INDEX",
        ask=["qstat"],
        cancel="qdel",
        submit=[],
        output=["-j", "oe", "-o"],
        name="-N",
        array="-J {tasks}",
        at_once="",
    ),
    "queue": Scheduler(
        task="SGE_TASK_ID",
        ask=["qstat", "-j"],
        cancel="qdel",
        submit=["-terse"],
        output=["-j", "y", "-o"],
        name="-N",
        array="-t {tasks}",
        at_once=" -tc {limit}",
    ),
}
GONE = re.compile("invalid job id|unknown job|do not exist|has finished", re.IGNORECASE)
ASK_S = 15  # how often a scheduler is asked whether it still has the job
LATE_S = 20  # how long after the job's end its files may appear (NFS)


class ClusterJob:
    """A submitted job, or one that an earlier launcher left behind.

    Args:
        scheduler: whose it is.
        job_id: as the scheduler printed it.
    """

    def __init__(self, scheduler: Scheduler, job_id: str):
        self.scheduler = scheduler
        self.job_id = job_id

    def gone(self) -> bool:
        """Whether the scheduler no longer has it; False if it does not answer."""
        asked = subprocess.run(
            [*self.scheduler.ask, self.job_id], capture_output=True, text=True
        )
        if asked.returncode == 0:
            return not asked.stdout.strip()
        return bool(GONE.search(asked.stderr + asked.stdout))

    def cancel(self):
        """Take it from the queue, or stop it."""
        subprocess.run([self.scheduler.cancel, self.job_id], capture_output=True)

    def wait(self, files: list[Path]):
        """Return when all files are there, or when the job is gone.

        Looks after half a second first, then at longer and longer intervals: a
        twentieth of the time waited, at most 10 s. Cancels the job if the recipe
        (RECIPE_PID) has died.
        """
        recipe = os.environ.get("RECIPE_PID")
        started = asked = time.monotonic()
        ended = None
        while not all(file.is_file() for file in files):
            now = time.monotonic()
            if recipe and not Path(f"/proc/{recipe}").exists():
                self.cancel()
                sys.exit(128 + signal.SIGTERM)
            if ended is None and now - asked >= ASK_S:
                ended, asked = now if self.gone() else None, now
            if ended is not None and now - ended > LATE_S:
                return
            time.sleep(min(10.0, max(0.5, (now - started) / 20)))


def options(args: argparse.Namespace) -> list[str]:
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
    command, flags, defaults = [], {}, {}
    for words in filter(None, lines):
        if words[0] == "command":
            command = words[1:]
        elif words[0] == "default" and "=" in words[1]:
            name, _, value = words[1].partition("=")
            defaults[name] = value
        elif words[0] == "option" and len(words) > 1 and "=" in words[1]:
            flags[words[1]] = words[2:]
        else:
            raise SystemExit(f"cmd.py: {path}: cannot read line '{' '.join(words)}'")
    if not command:
        raise SystemExit(f"cmd.py: {path} has no 'command' line")
    for name, value in (defaults | wanted).items():
        found = flags.get(f"{name}={value}", flags.get(f"{name}=*"))
        if found is None:
            raise SystemExit(f"cmd.py: {path} has no option {name}={value}")
        command += [flag.replace("$0", value) for flag in found]
    for flag in "qlp":
        command += [
            word for value in getattr(args, flag) for word in (f"-{flag}", value)
        ]
    return command


def write_script(folder: Path, task: str, jobs: Jobs) -> Path:
    """One script for all jobs; every task leaves its exit status in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        "#!/usr/bin/env bash",
        f"cd {shlex.quote(os.getcwd())} || exit 1",
        f'case "${{{task}:-{min(jobs)}}}" in',
    ]
    for number, (log, command) in jobs.items():
        log.parent.mkdir(parents=True, exist_ok=True)
        status = folder / f"status.{number}"
        status.unlink(missing_ok=True)
        where = shlex.quote(str(log))
        pattern = number if len(jobs) > 1 else "*"
        lines.append(
            f"{pattern}) echo '# Running on' \"$(hostname)\" > {where}; "
            f"{shlex.join(command)} >> {where} 2>&1; code=$?; "
            f'echo "# Ended (code $code)" >> {where}; '
            f"echo $code > {shlex.quote(str(status))}; exit $code ;;"
        )
    script = folder / "jobs.sh"
    script.write_text("\n".join([*lines, "esac", ""]))
    return script


def submit(command: list[str], scheduler: Scheduler) -> ClusterJob:
    """Submit a script.

    Raises:
        SystemExit: the scheduler refuses or is not there.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise SystemExit(f"cmd.py: cannot submit: {error}") from None
    found = re.findall(r"^\d[^\s;:]*", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        said = " ".join((done.stderr or done.stdout).split())
        raise SystemExit(f"cmd.py: cannot submit: {command[0]}: {said}")
    job_id = found[-1]
    if scheduler.task == "SGE_TASK_ID":  # 12.1-3:1
        job_id = job_id.partition(".")[0]
    return ClusterJob(scheduler, job_id)


def run(args: argparse.Namespace, jobs: Jobs) -> list[Path]:
    """Submit one (array) job, wait for it; return the logs of failed tasks.

    A signal to us, or the recipe's death, cancels the job. What a launcher that was
    itself killed left in the queue is cancelled before its successor submits.
    """
    log = Path(args.common_log)
    folder = log.parent / "q" / log.stem
    scheduler = SCHEDULERS[args.backend]
    noted = folder / "job_id"
    if noted.is_file():
        ClusterJob(scheduler, noted.read_text().strip()).cancel()
    script = write_script(folder, scheduler.task, jobs)
    command = [*options(args), *scheduler.submit]
    command += [*scheduler.output, str(folder / "scheduler.log")]
    command += [scheduler.name, (args.name or log.stem)[:40]]
    if len(jobs) > 1:
        array = scheduler.array.format(tasks=f"{args.first}-{args.last}")
        if args.max_jobs_run:
            array += scheduler.at_once.format(limit=args.max_jobs_run)
        command += array.split()
    job = submit([*command, str(script)], scheduler)
    noted.write_text(f"{job.job_id}\n")

    def stop(signum, _frame):
        job.cancel()
        os._exit(128 + signum)

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, stop)
    statuses = {number: folder / f"status.{number}" for number in jobs}
    job.wait(list(statuses.values()))
    noted.unlink(missing_ok=True)
    failed = []
    for number, status in statuses.items():
        if not status.is_file():
            print(
                f"cmd.py: job {job.job_id} ended without task {number}: cancelled, or "
                f"its node died; see {folder / 'scheduler.log'}",
                file=sys.stderr,
            )
        if not status.is_file() or status.read_text().strip() != "0":
            failed.append(jobs[number][0])
    return failed
