"""Random kills, full disks and two runs at once of the fast mini recipe: a table.

See faults.sh. ``--reference`` is a mini recipe that ``./run.sh --fast true`` has made
with this code (else one is made first, which takes minutes of its own).
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from full_disks import differences, digests, full_disks, row  # beside this file

ROOT = Path(__file__).resolve().parents[1]
RUN = ["./run.sh", "--fast", "true", "--rows", "taste", "--testsets", ""]
RUN += ["--stop_stage", "8", "--ngpu", "0"]
#: What is made again while it is disturbed: units, codes, two models, syntheses.
REMADE = ("dump/units", "dump/taste", "exp/taste_rvq", "exp/taslm", "exp/decode")
WAIT_S = 20  # until strays are strays
KILLS = {
    "KILL to its process group": lambda pid: os.killpg(pid, signal.SIGKILL),
    "KILL to run.sh": lambda pid: os.kill(pid, signal.SIGKILL),
    "TERM to run.sh": lambda pid: os.kill(pid, signal.SIGTERM),
    "INT to run.sh": lambda pid: os.kill(pid, signal.SIGINT),
    "HUP to run.sh": lambda pid: os.kill(pid, signal.SIGHUP),
    "KILL to one process": None,
}


def processes(folder: Path) -> list[int]:
    """Those that work in the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            where = Path(os.readlink(path / "cwd"))
            if folder in (where, *where.parents):
                found.append(int(path.name))
    return sorted({*found} - {os.getpid()})


def strays(folder: Path) -> int:
    """Processes that do not end within some seconds; they are killed then."""
    until = time.monotonic() + WAIT_S
    while (left := processes(folder)) and time.monotonic() < until:
        time.sleep(0.1)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(left)


def start(folder: Path) -> subprocess.Popen:
    with open(folder / "faults.log", "ab") as log:
        return subprocess.Popen(
            RUN, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )


def copy(source: Path, target: Path, without=()) -> Path:
    """A recipe with its repository, as in a clone."""
    for name in ("egs2/taste/TEMPLATE", "local", "espnet2_taste", "conf"):
        shutil.copytree(ROOT / name, target / name, symlinks=True, dirs_exist_ok=True)
    recipe = target / "egs2/taste/mini"
    unused = shutil.ignore_patterns("scores", "likelihood", "*.zip", "faults.log")
    shutil.copytree(source, recipe, symlinks=True, ignore=unused)
    for name in without:
        shutil.rmtree(recipe / name, ignore_errors=True)
    return recipe


def last_stage(folder: Path) -> str:
    """What the recipe was at, by its last lines."""
    lines = (folder / "faults.log").read_text(errors="replace").splitlines()
    stages = [line for line in lines if ") stage " in line]
    return stages[-1].split(") stage ")[1].split(":")[0] if stages else "-"


def kills(folder: Path, expected: dict, count: int, until: float, rng) -> bool:
    """Kill the recipe ``count`` times, then let it end."""
    print(f"\nKills ({folder}):\n")
    row("moment, s", "stage", "what", "strays")
    row("--:", "--:", "---", "--:")
    good = True
    methods = [*KILLS] * (count // len(KILLS) + 1)
    rng.shuffle(methods)
    for what in methods[:count]:
        if time.monotonic() > until:
            print("(no time for more)")
            break
        moment = rng.uniform(0.2, 30)
        run = start(folder)
        with suppress(subprocess.TimeoutExpired):
            run.wait(moment)
        if run.returncode is not None:
            for name in REMADE[rng.randrange(len(REMADE)) :]:
                shutil.rmtree(folder / name, ignore_errors=True)
            what = "(it had ended: something is deleted)"
        elif KILLS[what]:
            KILLS[what](run.pid)
        else:
            victims = [pid for pid in processes(folder) if pid != run.pid]
            with suppress(ProcessLookupError, IndexError):
                os.kill(rng.choice(victims), signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                run.wait(5)
            with suppress(ProcessLookupError):  # it may go on, as with a dead watcher
                run.terminate()
        run.wait()
        left = strays(folder)
        good &= not left
        row(f"{moment:.1f}", last_stage(folder), what, left)
    code = start(folder).wait()
    result = differences(expected, digests(folder))
    print(
        f"\nIn the end: exit status {code}; files: {result}; strays: {strays(folder)}"
    )
    return good and code == 0 and result == "equal"


def two_runs(folder: Path, expected: dict) -> bool:
    """Two runs in one folder at once."""
    print(f"\nTwo runs at once ({folder}):\n")
    runs = [start(folder), start(folder)]
    codes = sorted(run.wait() for run in runs)
    lines = (folder / "faults.log").read_text(errors="replace").splitlines()
    said = [line.partition(" since")[0] for line in lines if "another run" in line]
    result = differences(expected, digests(folder))
    left = strays(folder)
    print(f"exit status {codes}; said: {said}; files: {result}; strays: {left}")
    return codes[0] == 0 and result == "equal" and not left


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--minutes", type=float, default=10, help="besides making a reference")
    add("--seed", type=int, default=0, help="of moments, victims and sizes")
    add("--kills", type=int, default=20)
    add("--sizes", type=int, default=10, help="of disks, for each program")
    add("--reference", type=Path, help="a finished fast mini recipe")
    add("--work", type=Path, help="folder to work in (default: a temporary one)")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    if args.work:
        args.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.work) as work:
        work = Path(work).resolve()
        recipe = copy(args.reference or ROOT / "egs2/taste/mini", work / "reference")
        sys.path.insert(0, str(work / "reference"))  # code as it is now
        code = start(recipe).wait()
        if code:
            sys.exit((recipe / "faults.log").read_text(errors="replace")[-3000:])
        expected = digests(recipe)
        print(f"{len(expected)} files of an undisturbed run; seed {args.seed}")
        started, whole = time.monotonic(), 60 * args.minutes
        good = kills(
            copy(recipe, work / "killed", REMADE),
            expected,
            args.kills,
            started + 0.5 * whole,
            rng,
        )
        good &= two_runs(copy(recipe, work / "twice", REMADE[1:2]), expected)
        until = max(started + whole, time.monotonic() + 0.4 * whole)
        good &= full_disks(recipe, work, args.sizes, until, rng)
        left = strays(work)
        print(f"\nProcesses left: {left}; {time.monotonic() - started:.0f} s")
    print("GOOD" if good and not left else "BAD")
    sys.exit(not good or bool(left))


if __name__ == "__main__":
    main()
