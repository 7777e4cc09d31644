"""What an ablation says: every variant's scores, and its axes' choices compared.

The choices of an axis are compared where everything else is equal: the same other
choices and the same training seed. Training seeds, like sampling seeds, are averaged
inside every bootstrap resample; as two or three of them say little about training
itself, a difference counts as an answer only if its sign is the same for each of them.
"""

import math
from collections import defaultdict

from espnet2_taste.ablation.plan import Ablation, System
from espnet2_taste.evaluate.columns import find_column
from espnet2_taste.evaluate.score_folder import ScoreFolder
from espnet2_taste.evaluate.side_by_side import Side, comparison_results

TABLE, ROW = "reconstruction", "taste"


def merge(folders: dict[str, ScoreFolder], metrics: list[str]) -> ScoreFolder:
    """One scoring whose row has the sampling seeds of all.

    Args:
        folders: name of a training -> its scoring.
        metrics: keys to keep; [] for all.
    """
    first = next(iter(folders.values()))
    statistics = {
        (TABLE, f"{ROW}:{name}/{key.partition(':')[2]}", metric): value
        for name, folder in folders.items()
        for (table, key, metric), value in folder.statistics.items()
        if table == TABLE and key.partition(":")[0] == ROW
        if not metrics or metric in metrics
    }
    return ScoreFolder(first.path, first.results, statistics, first.utterances)


def equal_but_for(
    axis: str, ablation: Ablation, systems: list[System]
) -> dict[str, dict[str, System]]:
    """choice -> what else it is (the same keys for all choices) -> system."""
    found: dict[str, dict[str, System]] = defaultdict(dict)
    for system in systems:
        rest = {a: c for a, c in system.variant.choices.items() if a != axis}
        key = "-".join([*rest.values(), f"seed{system.seed}"])
        found[system.variant.choices[axis]][key] = system
    sides = {choice: found[choice] for choice in ablation.axes[axis] if found[choice]}
    return {
        choice: {
            key: system
            for key, system in side.items()
            if all(key in other for other in sides.values())
        }
        for choice, side in sides.items()
    }


def compare_choices(
    axis: str,
    ablation: Ablation,
    systems: list[System],
    scores: dict[str, ScoreFolder],
    resamples: int,
) -> list[dict]:
    """Every choice against those after it.

    Returns:
        For all choices but the last, in order: results of ``bin.compare`` with it and
        the choices after it as systems, and the ``answer``: {choice: {``better``,
        ``worse``, ``open``: metrics}}. [] where fewer than two choices were trained
        under equal conditions.
    """
    sides = equal_but_for(axis, ablation, systems)
    if not all(sides.values()):
        return []
    merged = {
        choice: merge({key: scores[s.tag] for key, s in side.items()}, ablation.metrics)
        for choice, side in sides.items()
    }
    found = []
    while len(merged) > 1:
        named = {choice: Side((choice,) * 3, m, "") for choice, m in merged.items()}
        results = comparison_results(named, [ROW], resamples, seed=0)
        first, *others = merged
        results["answer"] = {
            choice: _answer(results, index, sides[first], sides[choice], scores)
            for index, choice in enumerate(others, start=1)
        }
        found.append(results)
        del merged[first]
    return found


def _answer(
    results: dict,
    index: int,
    first: dict[str, System],
    other: dict[str, System],
    scores: dict[str, ScoreFolder],
) -> dict[str, list[str]]:
    """Metrics in which the ``index``-th system is better, worse, neither for sure."""
    answer: dict[str, list[str]] = {"better": [], "worse": [], "open": []}
    for metric, entry in results["tables"][0]["metrics"].items():
        result, better = entry["systems"][index], find_column(TABLE, metric).better
        if not better or result["difference"] is None:
            continue
        differences = [
            _value(scores[other[key].tag], metric) - _value(scores[s.tag], metric)
            for key, s in first.items()
        ]
        same_sign = len({difference > 0 for difference in differences}) == 1
        good = (result["difference"] > 0) == (better == "higher")
        if same_sign and (result["p_holm"] or 1) <= results["level"]:
            answer["better" if good else "worse"].append(metric)
        else:
            answer["open"].append(metric)
    return answer


def variant_scores(
    ablation: Ablation, systems: list[System], scores: dict[str, ScoreFolder]
) -> dict[str, dict]:
    """variant -> training ``seeds`` and ``metrics``: {key: {values, mean}}, values
    being those of the training seeds, each the mean over its sampling seeds."""
    result = {}
    for variant in ablation.variants:
        tags = {s.seed: s.tag for s in systems if s.variant is variant}
        if not tags:
            continue
        keys = dict.fromkeys(k for t in tags.values() for k in _metrics(scores[t], ROW))
        metrics = {}
        for key in keys:
            if ablation.metrics and key not in ablation.metrics:
                continue
            values = [_value(scores[tag], key) for tag in tags.values()]
            metrics[key] = {"values": values, "mean": sum(values) / len(values)}
        result[variant.name] = {"seeds": list(tags), "metrics": metrics}
    return result


def reference_scores(ablation: Ablation, scores: ScoreFolder) -> dict[str, dict]:
    """The same for rows that no variant changes."""
    result = {}
    for row in scores.rows(TABLE):
        if row != ROW:
            result[row] = {
                "metrics": {
                    key: {"values": [_value(scores, key, row)]}
                    | {"mean": _value(scores, key, row)}
                    for key in _metrics(scores, row)
                    if not ablation.metrics or key in ablation.metrics
                }
            }
    return result


def _metrics(scores: ScoreFolder, row: str) -> list[str]:
    keys = scores.row_keys(TABLE, row)
    return list(dict.fromkeys(m for _, k, m in scores.statistics if k in keys))


def _value(scores: ScoreFolder, metric: str, row: str = ROW) -> float:
    """Mean over sampling seeds; nan where one is undefined."""
    values = [s.value() for s in scores.seeds(TABLE, row, metric)]
    return sum(values) / len(values) if values else math.nan
