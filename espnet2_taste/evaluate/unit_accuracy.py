"""Teacher-forced accuracy of the predicted speech units."""

from pathlib import Path

from espnet2_taste.evaluate.statistics import Statistics
from espnet2_taste.io.tables import read_json_lines


def read_unit_accuracy(folder: Path) -> dict[str, Statistics]:
    """``unit_top1``, ``unit_top5`` from ``unit_accuracy.jsonl`` of a row.

    Definition: share of the units of the reference recording that are the decoder's
    most probable one (``top1``) or among its five most probable (``top5``) given all
    units before, counted by ``bin.synthesize`` per utterance. Unit: none, range 0 to 1;
    {} when there is no file (rows that predict no units).
    """
    path = folder / "unit_accuracy.jsonl"
    if not path.is_file():
        return {}
    found = {entry.pop("key"): entry for _, entry in read_json_lines(path)}
    counts = [float(entry["count"]) for entry in found.values()]
    result = {}
    for key in ("top1", "top5"):
        hits = [n * entry[key] for n, entry in zip(counts, found.values(), strict=True)]
        sums = list(zip(hits, counts, strict=True))
        result[f"unit_{key}"] = Statistics("ratio", list(found), sums)
    return result
