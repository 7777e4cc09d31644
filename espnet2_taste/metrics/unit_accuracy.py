"""Teacher-forced accuracy of the predicted speech units."""

import json
from pathlib import Path

from espnet2_taste.metrics.rtf import shard_files


def read_unit_accuracy(folder: Path) -> dict[str, float]:
    """Top-1 and top-5 accuracy from ``unit_accuracy.json`` in a row or its shards.

    Definition: share of the units of the reference recording that are the decoder's
    most probable one (``top1``) or among its five most probable (``top5``) given all
    units before, counted by ``bin.synthesize``; shards are weighted by their
    ``count``. Unit: none, range 0 to 1; nan when there is no file (rows that predict
    no units).
    """
    total, hits = 0.0, {"top1": 0.0, "top5": 0.0}
    for path in shard_files(folder, "unit_accuracy.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        count = float(content.get("count", 1))
        total += count
        for key in hits:
            hits[key] += count * float(content[key])
    return {k: h / total if total else float("nan") for k, h in hits.items()}
