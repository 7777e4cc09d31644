"""Real-time factors of the steps, as the steps report them."""

import json
from pathlib import Path

_SUFFIX = "_rtf"


def shard_files(folder: Path, name: str) -> list[Path]:
    """``folder/name``, or where a step was sharded every ``output.*/name`` below."""
    whole = Path(folder) / name
    if whole.exists():
        return [whole]
    return sorted(Path(folder).glob(f"**/output.*/{name}"))


def read_rtf(folder: Path) -> dict[str, float]:
    """Step -> real-time factor from ``rtf.json`` in a folder or its shards.

    Definition: seconds of computing / seconds of audio processed or made; > 0, below 1
    is faster than real time. The file holds ``{"<step>_rtf": factor, ...}`` and, for
    averaging over shards, ``"seconds"`` of audio. {} when there is no file.

    Raises:
        ValueError: the file has another form.
    """
    total: dict[str, float] = {}
    weight: dict[str, float] = {}
    for path in shard_files(folder, "rtf.json"):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            seconds = float(content.get("seconds", 1.0))
            factors = {k: float(v) for k, v in content.items() if k.endswith(_SUFFIX)}
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f'{path}: expected {{"<step>_rtf": number}}') from None
        for key, factor in factors.items():
            step = key.removesuffix(_SUFFIX)
            total[step] = total.get(step, 0.0) + seconds * factor
            weight[step] = weight.get(step, 0.0) + seconds
    return {step: total[step] / weight[step] for step in total if weight[step]}
