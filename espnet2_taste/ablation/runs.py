"""Training and scoring the systems of an ablation: runs of the recipe, some at once."""

import logging
import shutil
import subprocess
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import yaml

from espnet2_taste.ablation.plan import System
from espnet2_taste.io.atomic import write_text


class Failed(RuntimeError):
    """A run of the recipe failed; the message says why and where its log is."""


def recipe_run(log: Path, arguments: list[str]) -> None:
    """``./run.sh`` with a log, ended when this process ends.

    Raises:
        Failed: it ended with an error.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = ["./run.sh", *arguments]
    if shutil.which("setpriv"):  # Linux: no recipe goes on when this is killed
        command = ["setpriv", "--pdeathsig", "KILL", *command]
    with open(log, "w", encoding="utf-8") as file:
        done = subprocess.run(
            command, stdout=file, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line for line in lines if "error: " in line.lower()] or lines
        raise Failed(f"{errors[-1] if errors else 'no output'} (log: {log})")


def write_confs(folder: Path, system: System) -> str:
    """Write the configuration of every sub-stage; returns ``--taste_config``."""
    pattern = f"{folder}/conf/train_taste_%s.yaml"
    for stage, conf in system.confs.items():
        path = Path(pattern % stage)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, yaml.safe_dump(conf, sort_keys=False))
    return pattern


def run_system(
    system: System, folder: Path, rows: list[str], options: list[str]
) -> None:
    """Train what it does not share, resynthesise and score; done steps are skipped.

    Args:
        system: what to train.
        folder: for its configurations, log and results.
        rows: to resynthesise and score.
        options: more of ``./run.sh``.
    """
    arguments = {
        "stage": "5",
        "stop_stage": "9",
        "tag": system.tag,
        "seed": str(system.seed),
        "taste_config": write_confs(folder, system),
        "reuse": " ".join(f"{stage}:{tag}" for stage, tag in system.reuse.items()),
        "rows": " ".join(rows),
        "with_taslm": "false",
        "results": str(folder / "RESULTS.md"),
        "nj": "1",
        "inference_nj": "1",
    }
    listed = [word for key, value in arguments.items() for word in (f"--{key}", value)]
    recipe_run(folder / "run.log", [*listed, *options])


def run_systems(
    systems: list[System], folder: Path, reference: System, options: list[str], nj: int
) -> dict[str, str]:
    """Run all systems, ``nj`` at once; a failed one leaves the others going.

    Args:
        systems: those that others need come first.
        folder: theirs are in it, by tag.
        reference: its run also makes the copy and the text-only row.
        options: more of ``./run.sh``.
        nj: runs at once.

    Returns:
        {tag: reason} of the failed ones.
    """
    futures: dict[str, Future] = {}

    def work(system: System) -> None:
        for tag in system.needs:  # submitted before, so running or done
            if futures[tag].exception() is not None:
                raise Failed(f"not run, as it needs {tag}, which failed")
        start = time.monotonic()
        logging.info("%s: started", system.tag)
        rows = ["copy", "text_only"] * (system is reference) + ["taste"]
        run_system(system, folder / system.tag, rows, options)
        logging.info("%s: done in %.0f s", system.tag, time.monotonic() - start)

    with ThreadPoolExecutor(nj) as pool:
        for system in systems:
            futures[system.tag] = pool.submit(work, system)
    failed = {}
    for tag, future in futures.items():
        error = future.exception()
        if isinstance(error, Failed):
            failed[tag] = str(error)
        elif error is not None:
            raise error
    return failed
