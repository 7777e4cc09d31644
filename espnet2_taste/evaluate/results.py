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
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from espnet2_taste.evaluate.column import find_column
from espnet2_taste.evaluate.comparison import compare, holm
from espnet2_taste.evaluate.rows import Row, row_key
from espnet2_taste.evaluate.statistics import (
    KINDS,
    MIN_UTTERANCES,
    Statistics,
    interval,
    resampled,
)
from espnet2_taste.evaluate.table import TABLES, markdown
from espnet2_taste.io.atomic import replacing, write_text
from espnet2_taste.io.tables import read_records

RESULTS, STATISTICS = "results.json", "statistics.npz"
UTTERANCES = "utterances.csv"
#: (table, row key ``name`` or ``name:seed``, metric key)
Key = tuple[str, str, str]
_INDEX = "index"
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


def read_results(folder: Path) -> dict:
    """``results.json`` of a folder that ``bin.score`` wrote.

    Raises:
        FileNotFoundError, ValueError: it did not, or the file is damaged.
    """
    path = Path(folder) / RESULTS
    if not path.exists():
        raise FileNotFoundError(f"no file {path}: run espnet2_taste.bin.score first")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): score again") from None


def write_statistics(path: str | Path, statistics: dict[Key, Statistics]) -> None:
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
    arrays[_INDEX] = np.array(json.dumps(index))
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def read_statistics(path: str | Path) -> dict[Key, Statistics]:
    """What :func:`write_statistics` wrote, order kept.

    Raises:
        FileNotFoundError: no such file; run ``bin.score``.
        ValueError: it is no such file, or damaged.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no file {path}: run espnet2_taste.bin.score first")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            index, lists, found = json.loads(str(arrays[_INDEX])), {}, {}
            for number, (table, row, metric, kind, ids) in enumerate(index):
                if ids not in lists:
                    lists[ids] = [str(utt) for utt in arrays[f"ids_{ids}"]]
                if kind not in KINDS:
                    raise ValueError(f"unknown kind {kind}")
                sums = arrays[f"sums_{number}"]
                found[table, row, metric] = Statistics(kind, lists[ids], sums)
            return found
    except (KeyError, ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} holds no statistics ({error})") from None


@dataclass(frozen=True)
class ScoreFolder:
    """Results of one scoring.

    Attributes:
        path: the folder.
        results: of ``results.json``.
        statistics: of ``statistics.npz``: (table, row key, metric) -> sums.
        utterances: of ``utterances.csv``: row key -> utterance -> its line, a dict.
    """

    path: Path
    results: dict
    statistics: dict[Key, Statistics]
    utterances: dict[str, dict[str, dict[str, str]]]

    @classmethod
    def read(cls, path: Path) -> "ScoreFolder":
        """Read all files.

        Raises:
            FileNotFoundError, ValueError: a file is missing, or not what it should be.
        """
        results = read_results(path)
        statistics = read_statistics(path / STATISTICS)
        utterances: dict[str, dict[str, dict[str, str]]] = {}
        for _, line in read_records(path / UTTERANCES, ("row", "seed", "utt")):
            key = row_key(line["row"], line["seed"])
            utterances.setdefault(key, {})[line["utt"]] = line
        return cls(path, results, statistics, utterances)

    @classmethod
    def find(cls, path: Path) -> "ScoreFolder":
        """Read ``path`` itself, or the one scoring inside an experiment folder.

        Raises:
            FileNotFoundError: there is none. ValueError: there are several.
        """
        if (path / RESULTS).exists():
            return cls.read(path)
        patterns = ("*", "*/*", "exp/*", "exp/*/*")  # scores of a run or of its sets
        found = {p.parent for x in patterns for p in path.glob(f"{x}/{RESULTS}")}
        if not found:
            raise FileNotFoundError(
                f"no {RESULTS} in {path} nor in a folder below: run "
                "espnet2_taste.bin.score first"
            )
        if len(found) > 1:
            names = ", ".join(map(str, sorted(found)))
            raise ValueError(f"{path} holds several scorings, name one of {names}")
        return cls.read(found.pop())

    def row_keys(self, table: str, row: str) -> list[str]:
        """Keys of a row's seeds, or of the one seed that ``name:seed`` picks."""
        keys = dict.fromkeys(key for t, key, _ in self.statistics if t == table)
        return [key for key in keys if row in (key, key.partition(":")[0])]

    def rows(self, table: str) -> list[str]:
        """Names of a table's rows, in order."""
        keys = (key for t, key, _ in self.statistics if t == table)
        return list(dict.fromkeys(key.partition(":")[0] for key in keys))

    def all_rows(self) -> list[str]:
        """Names of all tables' rows."""
        return [row for table in TABLES for row in self.rows(table)]

    def seeds(self, table: str, row: str, metric: str) -> list[Statistics]:
        """Statistics of a metric for each seed of a row; [] if one lacks it."""
        keys = [(table, key, metric) for key in self.row_keys(table, row)]
        if not all(key in self.statistics for key in keys):
            return []
        return [self.statistics[key] for key in keys]


def average(trainings: list[ScoreFolder]) -> ScoreFolder:
    """One scoring that averages several trainings of a system as it does seeds."""
    statistics = {}
    for number, scores in enumerate(trainings, start=1):
        for (table, key, metric), value in scores.statistics.items():
            row, _, seed = key.partition(":")
            statistics[table, f"{row}:{number}/{seed}", metric] = value
    return replace(trainings[0], statistics=statistics)
