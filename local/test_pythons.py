"""The quick tests on every Python here, each with what its resolver picks.

    python local/test_pythons.py [--only 3.10,3.13] [pytest arguments]

Environments are made in .venvs/<version>. Prints a Markdown table; exit status 1 if
anything failed.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("espnet", "torch", "transformers", "numpy")
COUNTS = ("passed", "failed", "skipped")
QUICK = [
    "-q",
    "-n",
    "2",
    "--dist",
    "worksteal",
    "-m",
    "not recipe and not nightly",
    "tests",
]


def interpreters() -> dict[str, str]:
    """Version -> path, newest first."""
    found = subprocess.check_output([ROOT / "local/pythons.sh"], text=True)
    return dict(line.split(" ", 1) for line in found.splitlines())


def install(python: str, folder: Path) -> str | None:
    """Make an environment; return its interpreter, or None if that failed."""
    new = folder / "bin" / "python"
    if not new.exists():
        subprocess.run([python, "-m", "venv", folder], check=True)
    with open(folder / "install.log", "w") as log:
        done = subprocess.run(
            [new, ROOT / "local/install.py", ".[test,scoring,onnx]"],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            check=False,
        )
    return None if done.returncode else str(new)


def versions(python: str) -> list[str]:
    """Of Python itself, and what the resolver picked."""
    code = (
        "import platform, sys; from importlib.metadata import version\n"
        "print(platform.python_version(), *map(version, sys.argv[1:]))"
    )
    return subprocess.check_output([python, "-c", code, *PACKAGES], text=True).split()


def test(python: str, log: Path, arguments: list[str]) -> dict[str, int]:
    """Run the tests; what pytest's last line counts (errors are failures)."""
    folder = Path(python).parent
    environment = dict(
        os.environ, OMP_NUM_THREADS="1", PATH=f"{folder}:{os.environ['PATH']}"
    )
    command = [python, "-m", "pytest", *QUICK, *arguments]
    with open(log, "w") as output:
        subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
            check=False,
        )
    lines = log.read_text(errors="replace").splitlines() or [""]
    found = dict.fromkeys(COUNTS, 0)
    for number, name in re.findall(r"(\d+) (\w+)", lines[-1]):
        name = "failed" if name.startswith("error") else name
        if name in found:
            found[name] += int(number)
    if not found["passed"]:  # nothing ran: a crash
        found["failed"] += 1
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="versions, with commas; default: all")
    args, rest = parser.parse_known_args()
    wanted = interpreters()
    if args.only:
        wanted = {v: wanted[v] for v in args.only.split(",") if v in wanted}
    if not wanted:
        sys.exit(f"no Python of {args.only or '3.10 to 3.13'} here")
    names = ["Python", *PACKAGES, *COUNTS, "minutes"]
    rows = [names, ["---"] * len(names)]
    bad = 0
    for version, path in wanted.items():
        folder = ROOT / ".venvs" / version
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{version}: installing into {folder}", file=sys.stderr)
        python = install(path, folder)
        if python is None:
            print(f"{version}: cannot install: {folder}/install.log", file=sys.stderr)
            bad = 1
            continue
        print(f"{version}: testing, log: {folder}/test.log", file=sys.stderr)
        start = time.monotonic()
        counts = test(python, folder / "test.log", rest)
        minutes = f"{(time.monotonic() - start) / 60:.1f}"
        bad |= counts["failed"] > 0
        rows.append([*versions(python), *map(str, counts.values()), minutes])
    for row in rows:
        print("| " + " | ".join(row) + " |")
    return bad


if __name__ == "__main__":
    sys.exit(main())
