"""Files of a scoring: what people read, and what comparisons and reports read back.

``results.json`` has all tables: row -> ``seeds``, ``metrics``, ``errors``,
``failures``. A metric is ``{"mean", "spread", "values", "interval", "utterances",
"p"}``: mean over seeds, half the range over seeds (null for one seed), each seed's
value, [low, high] of :func:`seed_interval`, how many utterances (pairs, questions ...)
each seed's value is of, and the p of its difference to the row that the table is
compared with. Undefined is null.
"""

import csv
import io
import json
import math
from pathlib import Path

import numpy as np

from espnet2_taste.evaluate.column import find_column
from espnet2_taste.evaluate.comparison import compare, holm
from espnet2_taste.evaluate.rows import Row
from espnet2_taste.evaluate.statistics import (
    MIN_UTTERANCES,
    Statistics,
    interval,
    resampled,
)
from espnet2_taste.evaluate.table import markdown
from espnet2_taste.io.atomic import replacing, write_text

RESULTS, STATISTICS = "results.json", "statistics.npz"
UTTERANCES = "utterances.csv"
#: (table, row key ``name`` or ``name:seed``, metric key)
Key = tuple[str, str, str]
RESAMPLES = 2000  # of a p; bin.compare draws more


def null(value: float) -> float | None:
    """None (JSON has no nan) for what is not finite."""
    return value if math.isfinite(value) else None


def average_seeds(rows: list[Row], compared_to: str = "") -> dict[str, dict]:
    """Rows of one name -> {name: {seeds, metrics, errors, failures}}, JSON-ready.

    A mean is undefined as soon as one seed's value is.

    Args:
        rows: of a table.
        compared_to: name of the row whose difference to the others is tested.
    """
    table: dict[str, dict] = {}
    for name in dict.fromkeys(row.name for row in rows):
        group = [row for row in rows if row.name == name]
        metrics = {}
        for key in dict.fromkeys(k for row in group for k in row.statistics):
            found = [row.statistics.get(key) for row in group]
            values = np.array([s.value() if s is not None else math.nan for s in found])
            spread = float(np.ptp(values)) / 2 if len(group) > 1 else math.nan
            limits = None if np.isnan(values).any() else seed_interval(found)
            metrics[key] = {
                "mean": null(float(np.mean(values))),
                "spread": null(spread),
                "values": [null(float(v)) for v in values],
                "interval": limits,
                "utterances": [len(s.scored) if s is not None else 0 for s in found],
            }
        table[name] = {
            "seeds": [row.seed for row in group],
            "metrics": metrics,
            "errors": [row.errors for row in group],
            "failures": [row.failures for row in group],
        }
    if compared_to in table:
        _add_p(table, rows, compared_to)
    return table


def _add_p(table: dict[str, dict], rows: list[Row], name: str) -> None:
    """``p`` of every difference to the row ``name``, Holm's over a row's metrics."""
    for other in table.keys() - {name}:
        metrics, found = table[other]["metrics"], {}
        for key in metrics:
            sides = [
                [row.statistics.get(key) for row in rows if row.name == side]
                for side in (name, other)
            ]
            seeds = [s for side in sides for s in side]
            if all(s is not None and s.scored for s in seeds):
                try:
                    found[key] = compare(sides, resamples=RESAMPLES).systems[1].p
                except ValueError:  # no utterance in common
                    continue
        for key, p in zip(found, holm(list(found.values())), strict=True):
            metrics[key]["p"] = null(p)


def seed_interval(seeds: list[Statistics]) -> list[float] | None:
    """95 % bootstrap interval of a metric's mean over seeds.

    Utterances are drawn, the same ones for every seed: what another test set of the
    same kind would change, not what another seed would. None for fewer than
    ``MIN_UTTERANCES`` utterances.
    """
    ids = list(dict.fromkeys(utt for s in seeds for utt in s.scored))
    if len(ids) < MIN_UTTERANCES:
        return None
    draws = resampled([s.over(ids) for s in seeds]).mean(0)
    low, high = interval(draws)
    return [low, high] if math.isfinite(low) else None


def write_results(folder: Path, results: dict, rows: dict[str, list[Row]]) -> None:
    """Write results.json, results.csv, statistics.npz, utterances.csv and table.md.

    Args:
        folder: to write in.
        results: all tables and what they were made from (see ``bin.score``).
        rows: table -> the rows and seeds it was averaged from.
    """
    statistics = {
        (table, row.key, metric): entry
        for table, entries in rows.items()
        for row in entries
        for metric, entry in row.statistics.items()
    }
    write_statistics(folder / STATISTICS, statistics)
    lines = [
        {"table": table, **line}
        for table, entries in rows.items()
        for row in entries
        for line in per_utterance(row)
    ]
    contents = {
        UTTERANCES: to_csv(lines),
        "results.csv": to_csv(long_form(results, list(rows))),
        "table.md": markdown(results),
        RESULTS: json.dumps(results, indent=1, allow_nan=False) + "\n",
    }
    for name, content in contents.items():
        write_text(folder / name, content)


def per_utterance(row: Row) -> list[dict]:
    """A row's lines for the CSV, each with the utterance's own value of each metric.

    Of a correlation that is one within the utterance, over its frames or words.
    """
    values = {
        key: dict(zip(entry.ids, entry.values(), strict=True))
        for key, entry in row.statistics.items()
    }
    lines = []
    for utt, line in row.lines.items():
        line = line | {key: own.get(utt, "") for key, own in values.items()}
        lines.append({"row": row.name, "seed": row.seed, "utt": utt} | line)
    return lines


def to_csv(lines: list[dict], digits: int | None = 5) -> str:
    """A CSV with a header of all names that lines have; what is undefined is empty.

    Args:
        lines: name -> value.
        digits: of numbers; None: all.
    """

    def shown(value):
        if not isinstance(value, float) or digits is None:
            return value
        return round(value, digits) if math.isfinite(value) else ""

    table = io.StringIO()
    names = dict.fromkeys(name for line in lines for name in line)
    writer = csv.DictWriter(table, names, restval="", lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({name: shown(value) for name, value in line.items()})
    return table.getvalue()


def long_form(results: dict, tables: list[str]) -> list[dict]:
    """One line per table, row, seed and metric.

    ``seed`` is "mean" for the mean over seeds, which alone has an interval: ``low``
    and ``high``.
    """
    lines = []
    for table in tables:
        for row, content in results[table].items():
            for metric, entry in content["metrics"].items():
                column = find_column(results, table, metric)
                seeds = [("mean", entry["mean"], *(entry["interval"] or ("", "")))]
                if len(content["seeds"]) > 1:
                    pairs = zip(content["seeds"], entry["values"], strict=True)
                    seeds += [(seed, value, "", "") for seed, value in pairs]
                for seed, value, low, high in seeds:
                    line = {"table": table, "row": row, "seed": seed, "metric": metric}
                    line |= {"value": value, "low": low, "high": high}
                    lines.append(line | {"unit": column.unit if column else ""})
    return lines


def write_statistics(path: Path, statistics: dict[Key, Statistics]) -> None:
    """Write ``.npz`` by rename: arrays only, readable without pickle.

    ``index`` is a JSON list of [table, row, metric, kind, number of its id list];
    ``sums_<i>`` are the (N, K) sums of entry i and ``ids_<j>`` the id lists, each
    stored once.
    """
    id_lists: dict[tuple[str, ...], int] = {}
    index, arrays = [], {}
    for number, (key, entry) in enumerate(statistics.items()):
        ids = id_lists.setdefault(tuple(entry.ids), len(id_lists))
        index.append([*key, entry.kind, ids])
        arrays[f"sums_{number}"] = entry.sums
    for ids, number in id_lists.items():
        arrays[f"ids_{number}"] = np.array(ids, dtype=np.str_)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, index=np.array(json.dumps(index)), **arrays)
