"""Real-time factors of the steps, as the steps report them."""

import json
import math
from pathlib import Path


def read_rtf(folder: Path) -> dict[str, float]:
    """Step -> real-time factor from ``rtf.json`` in a folder, {} when absent.

    Definition: seconds of computing / seconds of audio processed or made; > 0, below 1
    is faster than real time. The file holds ``{step: factor}`` or ``{step: {"seconds":
    s, "audio_seconds": s}}`` (summed over shards); a single unnamed entry, the inner
    object alone, is the step named after the folder's parent.

    Raises:
        ValueError: the file has another form.
    """
    path = Path(folder) / "rtf.json"
    if not path.exists():
        return {}
    content = json.loads(path.read_text())
    if isinstance(content, dict) and ("seconds" in content or "rtf" in content):
        content = {path.parent.parent.name: content}
    try:
        return {step: _factor(value) for step, value in content.items()}
    except (AttributeError, TypeError, KeyError):
        raise ValueError(f"{path}: expected {{step: real-time factor}}") from None


def _factor(value: float | dict) -> float:
    if not isinstance(value, dict):
        return float(value)
    if "rtf" in value:
        return float(value["rtf"])
    audio = float(value["audio_seconds"])
    return float(value["seconds"]) / audio if audio else math.nan
