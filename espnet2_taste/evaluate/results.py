"""Files of a scoring: what people read, and what comparisons and reports read back.

``results.json`` has all tables: row -> ``seeds``, ``metrics``, ``errors``,
``failures``. A metric is ``{"mean", "spread", "values", "interval", "utterances",
"p"}``: mean over seeds, half the range over seeds (null for one seed), each seed's
value, [low, high] of :func:`seed_interval`, how many utterances (pairs, questions ...)
each seed's value is of, and, where there is something to compare with, the p of its
difference to the row that the table is compared with, or to chance. Undefined is null.
"""

import csv
import io
import json
import math
from collections.abc import Iterable
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


def average_seeds(
    rows: list[Row], compared_to: str = "", columns: Iterable[dict] = ()
) -> dict[str, dict]:
    """Rows of one name -> {name: {seeds, metrics, errors, failures}}, JSON-ready.

    A mean is undefined as soon as one seed's value is.

    Args:
        rows: of a table.
        compared_to: name of the row whose difference to the others is tested.
        columns: of the table, see ``column.to_json``: those of which there is a chance
            are tested against it.
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
    _add_p(table, rows, compared_to, columns)
    return table


def _add_p(
    table: dict[str, dict], rows: list[Row], compared_to: str, columns: Iterable[dict]
) -> None:
    """``p`` of each row's differences to the one compared with, Holm's over its
    metrics; of all that have a chance to it, Holm's over the table."""
    cells = {
        (name, key): cell
        for name, row in table.items()
        for key, cell in row["metrics"].items()
        if cell["mean"] is not None
    }
    seeds = {
        (name, key): [row.statistics[key] for row in rows if row.name == name]
        for name, key in cells
    }
    for name in table.keys() - {compared_to}:
        both = [(n, k) for n, k in cells if n == name and (compared_to, k) in cells]
        pairs = [[seeds[compared_to, key], seeds[name, key]] for _, key in both]
        for at, p in zip(both, _adjusted(pairs, resamples=RESAMPLES), strict=True):
            cells[at]["p"] = p
    chances = {c["key"]: c["chance"] for c in columns if c["chance"] is not None}
    guessed = [at for at in cells if at[1] in chances]
    pairs = []
    for at in guessed:
        ids = {utt for s in seeds[at] for utt in s.ids}
        pairs.append([[Statistics.mean(dict.fromkeys(ids, chances[at[1]]))], seeds[at]])
    # Of many resamples: the least p, times the number of cells, can be below LEVEL.
    for at, p in zip(guessed, _adjusted(pairs), strict=True):
        cells[at]["p"] = p


def _adjusted(pairs: list[list[list[Statistics]]], **options) -> list[float | None]:
    """Holm's p of what tells two sides apart; None: no or few utterances in common."""
    found = []
    for pair in pairs:
        try:
            found.append(compare(pair, **options).systems[1].p)
        except ValueError:
            found.append(math.nan)
    return [null(p) for p in holm(found)]


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
