"""Disks that fill up while programs write, and digests that say what is equal after.

Used by faults.py. Full disks are small tmpfs mounts; who may not mount gets a limit on
the size of each file instead.
"""

import hashlib
import os
import resource
import shlex
import shutil
import subprocess
import sys
import time
import traceback
import zipfile
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path

#: What a run of the recipe makes.
FINAL = ("dump", "exp/decode", "exp/taste_rvq/valid.loss.best.pth")
FINAL += ("exp/taslm/valid.loss.best.pth",)


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


def row(*cells) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


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


def run_program(words: list[str], cwd: Path, log: Path, limit: int | None):
    """``python -m <module> <args...>`` in a fork, which saves seconds of imports.

    Args:
        words: the command line.
        cwd: where it runs.
        log: gets what it says.
        limit: of the sizes of files; None: none.

    Returns:
        exit status, and what it said.
    """
    run, module = import_module("espnet2_taste.bin").run, import_module(words[2])
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), log.read_text(errors="replace")
    code = 1
    try:
        os.chdir(cwd)
        for descriptor in (1, 2):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(log, flags) if descriptor == 1 else 1, descriptor)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        run(partial(module.main, words[3:]))
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
        print(error.code, file=sys.stderr, flush=True)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


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

    def run(name: str, limit: int | None = None) -> tuple[int, str]:
        words = command_of(name, programs[name], out / "x")
        return run_program(words, recipe, work / "program.log", limit)

    for _ in range(count):
        for name in rng.sample(sorted(programs), len(programs)):
            if time.monotonic() > until:
                continue
            if name not in wanted:
                with disk(out, may_mount):
                    code, said = run(name)
                    if code:
                        print(f"{name} fails: {said[-300:]}")
                        return False
                    sizes = [p.lstat().st_size for p in out.rglob("*") if p.is_file()]
                    size = sum(sizes) if may_mount else max(sizes)
                    wanted[name] = digests(out, ("x",)), size
            expected, size = wanted[name]
            with disk(out, may_mount) as resize:
                small = max(4096, int(size * rng.uniform(0.02, 0.98)))
                resize(small)
                code, said = run(name, None if may_mount else small)
                resize(1 << 30)
                tried = counts[name]
                tried[0] += 1
                tried[1] += code != 0
                tried[2] += code != 0 and "Traceback" not in said
                again, _ = run(name)
                equal = differences(expected, digests(out, ("x",)))
                tried[3] += again == 0 and equal == "equal"
                if again or equal != "equal":
                    good = False
                    print(f"{name}, {small} bytes: {again}, {equal}")
    for name, cells in sorted(counts.items()):
        row(name, *cells)
    return good
