#!/usr/bin/env python3
"""GPUs of this machine: how many a training takes, and a share of them for each job.

    gpus.py auto|N

prints the GPUs that a training takes: N, or with "auto" 1 where one can be used and 0
elsewhere. Exit status 1 and one line where there are fewer than N, or where the torch
of the python that runs this cannot use them.
"""

import contextlib
import fcntl
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

VARIABLE = "CUDA_VISIBLE_DEVICES"


def visible() -> list[str]:
    """GPUs that a program started here sees, as CUDA_VISIBLE_DEVICES names them."""
    if VARIABLE in os.environ:
        names = [name.strip() for name in os.environ[VARIABLE].split(",")]
        valid = [name not in ("", "-1", "NoDevFiles") for name in names]
        return names[: valid.index(False)] if False in valid else names  # as CUDA does
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):  # no NVIDIA machine, no driver
        return []
    return re.findall(r"^GPU (\d+):", done.stdout, re.MULTILINE)


def require(count: int) -> list[str]:
    """All visible GPUs.

    Raises:
        ValueError: fewer than ``count``; the message says how many and who says so.
    """
    names = visible()
    if len(names) < count:
        source = "nvidia-smi -L lists"
        if VARIABLE in os.environ:
            source = f"{VARIABLE}={os.environ[VARIABLE]} shows"
        raise ValueError(f"{count} GPU(s) wanted, but {source} {len(names) or 'none'}")
    return names


@contextlib.contextmanager
def claim(count: int, names: list[str]) -> Iterator[list[str]]:
    """The ``count`` GPUs of ``names`` that the fewest jobs of this user use.

    A job's claim is a locked file in a folder for temporary files, so all launchers
    that run at once see it; the lock ends with its launcher, however that ends.
    """
    folder = Path(tempfile.gettempdir()) / f"espnet2_taste_gpus_{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with contextlib.ExitStack() as claims:
        with open(folder / "lock", "w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)  # one chooses at a time
            users = _users(folder, names)
            least_used = sorted(names, key=users.__getitem__)[:count]
            chosen = [name for name in names if name in least_used]
            for name in chosen:
                claims.enter_context(_locked(folder, name))
        yield chosen


@contextlib.contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    """Hold a claim of one GPU."""
    prefix = f"{quote(name, safe='')}@"
    with tempfile.NamedTemporaryFile(prefix=prefix, dir=folder, delete=False) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            Path(file.name).unlink(missing_ok=True)


def _users(folder: Path, names: list[str]) -> dict[str, int]:
    """Jobs on each GPU; claims of launchers that were killed are removed."""
    users = dict.fromkeys(names, 0)
    for name in names:
        for path in folder.glob(f"{quote(name, safe='')}@*"):
            try:
                with open(path) as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink(missing_ok=True)  # nobody holds it
            except BlockingIOError:
                users[name] += 1
            except FileNotFoundError:  # its job just ended
                pass
    return users


def torch_problem() -> str:
    """Why the torch of this python cannot use a GPU that is there; "" if it can."""
    try:
        import torch
    except ImportError as error:
        return f"{sys.executable}: {error}"
    if torch.cuda.is_available():
        return ""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} of {sys.executable} is a build for CPUs"
    return f"torch {torch.__version__} finds no GPU it can use (driver too old?)"


def main() -> None:
    if len(sys.argv) != 2 or not re.fullmatch(r"auto|\d+", sys.argv[1]):
        sys.exit(f"Usage: gpus.py auto|N\n{__doc__}")
    wanted = sys.argv[1]
    count = (1 if visible() else 0) if wanted == "auto" else int(wanted)
    try:
        require(count)
    except ValueError as error:
        sys.exit(str(error))
    if count and (problem := torch_problem()):
        if wanted != "auto":
            sys.exit(problem)
        print(f"no GPU is used: {problem}", file=sys.stderr)
        count = 0
    print(count)


if __name__ == "__main__":
    main()
