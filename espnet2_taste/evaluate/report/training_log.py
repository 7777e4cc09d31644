"""Training curves from the logs ESPnet's trainer writes."""

import math
import re
from pathlib import Path

_EPOCH = re.compile(r"(\d+)epoch results: (.*)$")
_PART = re.compile(r"\[(\w+)\] ")
_STAT = re.compile(r"([\w.]+)=([-+0-9.eE]+|nan|inf|-inf)(?:,|$)")

#: Statistics of the training itself, which hardly change.
FACTS = ("trainable_parameters", "effective_batch_size")

# stat -> phase ("train", "valid") -> [(epoch, value)]
Curves = dict[str, dict[str, list[tuple[int, float]]]]


def read_curves(exp_dir: Path) -> Curves:
    """Curves of every statistic that exists in training *and* validation."""
    curves: Curves = {}
    for epoch, phases in _read_epochs(exp_dir).items():
        for phase in ("train", "valid"):
            for stat, value in phases.get(phase, {}).items():
                if math.isfinite(value):
                    line = curves.setdefault(stat, {}).setdefault(phase, [])
                    line.append((epoch, value))
    return {stat: phases for stat, phases in curves.items() if len(phases) == 2}


def read_facts(exp_dir: Path) -> dict[str, float]:
    """The last epoch's :data:`FACTS`, those that are in the log."""
    epochs = list(_read_epochs(exp_dir).values())
    last = epochs[-1].get("train", {}) if epochs else {}
    return {stat: last[stat] for stat in FACTS if stat in last}


def _read_epochs(exp_dir: Path) -> dict[int, dict[str, dict[str, float]]]:
    """Epoch -> phase -> statistic -> value.

    Reads ``train.log`` and what ``espnet2.bin.launch`` rotated away on a resume
    (``train.1.log`` is newer than ``train.2.log``); an epoch run twice counts once.
    """
    newest_first = sorted(Path(exp_dir).glob("train*.log"), key=_age)
    epochs: dict[int, dict[str, dict[str, float]]] = {}
    for path in reversed(newest_first):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if match := _EPOCH.search(line):
                epochs[int(match[1])] = _parse(match[2])
    return dict(sorted(epochs.items()))


def _age(path: Path) -> int:
    match = re.fullmatch(r"train\.(\d+)\.log", path.name)
    return int(match[1]) if match else 0


def _parse(text: str) -> dict[str, dict[str, float]]:
    """``[train] loss=1.0, ..., [valid] ...`` -> {phase: {stat: value}}."""
    pieces = _PART.split(text)
    return {
        phase: {
            stat: float(value)
            for stat, value in _STAT.findall(content)
            if stat != "total_count" and not stat.endswith("time")
        }
        for phase, content in zip(pieces[1::2], pieces[2::2], strict=True)
    }
