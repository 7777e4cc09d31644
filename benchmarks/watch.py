"""Memory and time of a command, to its end or to its first outputs."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.setup import ROOT
from benchmarks.table import Row

GIB = 2**30
POLL_S = 0.05
LIMITS = {"GiB": "< 2", "s": "< 60"}


def watch(
    command: list[str], log: Path, until: Callable[[], bool] | None = None
) -> tuple[float, float, float]:
    """Run a command, to its end or until it has started.

    Args:
        command: to run.
        log: file for what it says.
        until: it has started; it and its children are killed then.

    Returns:
        peak of the resident memory in GiB (of children the largest counts), seconds,
        and seconds that the processors worked.

    Raises:
        RuntimeError: it failed; with the end of the log.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    start, peak = time.monotonic(), 0
    with open(log, "ab") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=file,
            env=environment,
            cwd=log.parent / "models",
            start_new_session=True,
        )
    started = False
    try:
        ended = 0
        while not started and not ended:
            peak = max(peak, *map(_peak, _family(process.pid)), 0)
            started = until is not None and until()
            time.sleep(POLL_S)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
    finally:
        seconds = time.monotonic() - start
        if not ended:
            os.killpg(process.pid, signal.SIGKILL)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
    if not started and (status or until is not None):
        end = log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{' '.join(command)} ended without outputs:\n{end}")
    return peak / GIB, seconds, usage.ru_utime + usage.ru_stime


def _family(pid: int) -> list[int]:
    """A process and its children."""
    found = [pid]
    for parent in found:
        try:
            text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        except OSError:
            continue
        found += map(int, text.split())
    return found


def _peak(pid: int) -> int:
    """Bytes that a process had resident at most (VmHWM)."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def case(
    name: str, command: list, folder: Path, until: Callable[[], bool] | None = None
) -> Iterator[Row]:
    """Rows of a command: memory, and time to its end or its first outputs."""
    try:
        peak, seconds, work_s = watch(list(map(str, command)), folder / "log", until)
    except RuntimeError as error:  # the other cases are worth their time
        print(error, file=sys.stderr)
        yield Row(name, math.nan, "GiB", note="failed")
        return
    what = "to the end" if until is None else "to the first outputs"
    target = "" if until is None else LIMITS["s"]
    yield Row(name, peak, "GiB", target=LIMITS["GiB"])
    note = f"{what}, {work_s:.1f} s of them at work"
    yield Row(name, seconds, "s", target=target, note=note)
