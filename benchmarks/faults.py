"""Random kills, full disks and two runs at once of the fast mini recipe: a table.

See faults.sh. ``--reference`` is a mini recipe that ``./run.sh --fast true`` has made
with this code (else one is made first, which takes minutes of its own). Full disks are
small tmpfs mounts; who may not mount gets a limit on the size of each file instead.
"""

import argparse
import hashlib
import os
import random
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUN = ["./run.sh", "--fast", "true", "--rows", "taste", "--testsets", ""]
RUN += ["--stop_stage", "8", "--ngpu", "0"]
#: What is made again while it is disturbed: units, codes, two models, syntheses.
REMADE = ("dump/units", "dump/taste", "exp/taste_rvq", "exp/taslm", "exp/decode")
FINAL = ("dump", "exp/decode", "exp/taste_rvq/valid.acc.best.pth")
FINAL += ("exp/taslm/valid.loss.best.pth",)
WAIT_S = 20  # until strays are strays
KILLS = {
    "KILL to its process group": lambda pid: os.killpg(pid, signal.SIGKILL),
    "KILL to run.sh": lambda pid: os.kill(pid, signal.SIGKILL),
    "TERM to run.sh": lambda pid: os.kill(pid, signal.SIGTERM),
    "INT to run.sh": lambda pid: os.kill(pid, signal.SIGINT),
    "HUP to run.sh": lambda pid: os.kill(pid, signal.SIGHUP),
    "KILL to one process": None,
}


def digests(folder: Path, names=FINAL) -> dict[str, str]:
    """Of all that an undisturbed run makes the same: not logs, curves, times, marks."""
    files = []
    for name in names:
        path = folder / name
        files += [path] if path.is_file() else sorted(path.rglob("*"))
    return {
        str(path.relative_to(folder)): digest(path)
        for path in files
        if path.is_file()
        and not {"log", "images", "tensorboard", "att_ws"} & {*path.parts}
        and not path.name.startswith((".", "keys.", "checkpoint"))
        and path.suffix not in (".log", ".json")
    }


def digest(path: Path) -> str:
    """Of the content; of a checkpoint, without the name that PyTorch puts inside."""
    content = hashlib.sha256()
    if path.suffix == ".pth" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                content.update(name.partition("/")[2].encode() + archive.read(name))
    else:
        content.update(path.read_bytes())
    return content.hexdigest()


def differences(expected: dict, found: dict) -> str:
    """How many files differ, and the first; "equal" if none."""
    names = sorted(expected.keys() | found.keys())
    names = [name for name in names if expected.get(name) != found.get(name)]
    return f"{len(names)} differ: {names[0]}" if names else "equal"


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


def row(*cells) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


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


def writers(recipe: Path) -> dict[str, list[str]]:
    """Program -> a command line of it, from the logs that the recipe left."""
    found = {}
    logs = [*recipe.glob("dump/**/log/job.1.log"), *recipe.glob("exp/**/log/job.1.log")]
    logs += [recipe / "exp/taste_text_only/train.log"]
    for log in sorted(logs, key=lambda path: "train/" in str(path)):
        with suppress(OSError):
            with open(log, errors="replace") as file:
                words = shlex.split(file.readline()[1:])
            if "--output_dir" in words:
                found.setdefault(words[2].rpartition(".")[2], words)
    bins = ["python3", "-m", "espnet2_taste.bin.{}"]
    format_wav = [*bins[:2], bins[2].format("format_wav"), "data/fast/dev"]
    found["format_wav"] = [*format_wav, "--output_dir", "."]
    pieces = [*bins[:2], bins[2].format("train_tokenizer"), "--data_dir"]
    found["train_tokenizer"] = [*pieces, "dump/raw/train", "--output_dir", "."]
    return found


def command_of(name: str, words: list[str], out: Path) -> list[str]:
    """Its words with another place for what it writes."""
    words, i = list(words), words.index("--output_dir")
    words[i + 1] = str(out)
    if name == "format_wav":
        del words[i]
    elif name == "train_tokenizer":
        words[i : i + 2] = ["--output", str(out / "bpe.model")]
    words[0] = sys.executable
    return words


@contextmanager
def disk(folder: Path, may_mount: bool):
    """A disk of its own; yields a function that sets its size in bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    if not may_mount:
        yield lambda size: None
        shutil.rmtree(folder)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=1g", "none", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield lambda size: subprocess.run(
            ["mount", "-o", f"remount,size={size}", str(folder)], check=True
        )
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def full_disks(recipe: Path, work: Path, count: int, until: float, rng) -> bool:
    """Every program writes to disks of ``count`` sizes that are too small."""
    probe = subprocess.run(
        ["mount", "-t", "tmpfs", "none", str(work)], capture_output=True, check=False
    )
    may_mount = probe.returncode == 0
    if may_mount:
        subprocess.run(["umount", str(work)], check=True)
    how = "a tmpfs" if may_mount else "no right to mount: a limit on each file's size"
    print(f"\nFull disks ({how}):\n")
    row("program", "sizes", "failed", "of these with one line", "then equal")
    row("---", "--:", "--:", "--:", "--:")
    out, good = work / "disk", True
    programs = writers(recipe)
    counts = {name: [0, 0, 0, 0] for name in programs}
    wanted: dict[str, tuple[dict, int]] = {}

    def run(name: str, limit: int | None = None) -> subprocess.CompletedProcess:
        def limits():
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        return subprocess.run(
            command_of(name, programs[name], out / "x"),
            cwd=recipe,
            capture_output=True,
            text=True,
            preexec_fn=limits,
            check=False,
        )

    for _ in range(count):
        for name in rng.sample(sorted(programs), len(programs)):
            if time.monotonic() > until:
                continue
            if name not in wanted:
                with disk(out, may_mount):
                    done = run(name)
                    if done.returncode:
                        print(f"{name} fails: {done.stderr[-300:]}")
                        return False
                    sizes = [p.stat().st_size for p in out.rglob("*") if p.is_file()]
                    size = sum(sizes) if may_mount else max(sizes)
                    wanted[name] = digests(out, ("x",)), size
            expected, size = wanted[name]
            with disk(out, may_mount) as resize:
                small = max(4096, int(size * rng.uniform(0.02, 0.98)))
                resize(small)
                done = run(name, None if may_mount else small)
                resize(1 << 30)
                tried = counts[name]
                tried[0] += 1
                tried[1] += done.returncode != 0
                tried[2] += done.returncode != 0 and "Traceback" not in done.stderr
                again = run(name)
                equal = differences(expected, digests(out, ("x",)))
                tried[3] += again.returncode == 0 and equal == "equal"
                if again.returncode or equal != "equal":
                    good = False
                    print(f"{name}, {small} bytes: {again.returncode}, {equal}")
    for name, cells in sorted(counts.items()):
        row(name, *cells)
    return good


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
    with tempfile.TemporaryDirectory(dir=args.work) as work:
        work = Path(work).resolve()
        recipe = copy(args.reference or ROOT / "egs2/taste/mini", work / "reference")
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
        good &= full_disks(recipe, work, args.sizes, started + whole, rng)
        left = strays(work)
        print(f"\nProcesses left: {left}; {time.monotonic() - started:.0f} s")
    print("GOOD" if good and not left else "BAD")
    sys.exit(not good or bool(left))


if __name__ == "__main__":
    main()
