"""Teacher-forced accuracy of the predicted speech units."""

import json
import math
from pathlib import Path


def read_unit_accuracy(folder: Path) -> dict[str, float]:
    """Top-1 and top-5 accuracy from ``unit_accuracy.json`` in a row's folder.

    Definition: share of the units of the reference recording that are the decoder's
    most probable one (``top1``) or among its five most probable (``top5``) given all
    units before, counted by the tokenizer when it decodes the set. Unit: none, range 0
    to 1; nan when the file is absent (rows that predict no units).
    """
    path = Path(folder) / "unit_accuracy.json"
    values = json.loads(path.read_text()) if path.exists() else {}
    return {key: float(values.get(key, math.nan)) for key in ("top1", "top5")}
