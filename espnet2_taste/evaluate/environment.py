"""When, where and with which versions scores were made."""

import os
import platform
import subprocess
import sys
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from espnet2_taste import __version__


def environment() -> dict[str, str]:
    """Item -> value: what ESPnet's show_asr_result.sh prints, plus this package and
    the machine."""
    return {
        "date": datetime.now().astimezone().strftime("%a %b %d %H:%M:%S %Z %Y"),
        "python version": sys.version.replace("\n", " "),
        "espnet version": f"espnet {_version('espnet')}",
        "pytorch version": f"pytorch {_version('torch')}",
        "espnet2_taste version": __version__,
        "machine": f"{os.cpu_count()} x {_processor()}",
        "Git hash": _git("%H"),
        "Commit date": _git("%cd"),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def _processor() -> str:
    """CPU model name where Linux tells, else the architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def _git(form: str) -> str:
    command = ["git", "log", "-1", f"--format={form}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "(unknown)"
    return done.stdout.strip() or "(unknown)"
