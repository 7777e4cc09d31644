"""Files of a scoring that people and other commands read."""

import csv
import io
import json
from pathlib import Path

from espnet2_taste.evaluate.columns import find_column
from espnet2_taste.evaluate.scores import RowScores, rounded
from espnet2_taste.evaluate.statistics_file import write_statistics
from espnet2_taste.evaluate.table import markdown
from espnet2_taste.io.atomic import write_text

RESULTS, STATISTICS = "results.json", "statistics.npz"
UTTERANCES = "utterances.csv"
CSV_COLUMNS = ["table", "row", "seed", "metric", "value", "low", "high", "unit"]


def write_results(
    folder: Path, results: dict, rows: dict[str, list[RowScores]]
) -> None:
    """Write results.json, results.csv, statistics.npz, utterances.csv and table.md.

    Args:
        folder: to write in.
        results: all tables and what they were made from (see ``bin.score``).
        rows: table -> the rows and seeds it was averaged from.
    """
    statistics = {
        (table, scores.row.key, metric): entry
        for table, entries in rows.items()
        for scores in entries
        for metric, entry in scores.statistics.items()
    }
    write_statistics(folder / STATISTICS, statistics)
    lines = [
        {"table": table, **line}
        for table, entries in rows.items()
        for scores in entries
        for line in per_utterance(scores)
    ]
    names = list(dict.fromkeys(name for line in lines for name in line))
    contents = {
        UTTERANCES: _csv(names, lines),
        "results.csv": _csv(CSV_COLUMNS, long_form(results, list(rows))),
        "table.md": markdown(results),
        RESULTS: json.dumps(results, indent=1, allow_nan=False) + "\n",
    }
    for name, content in contents.items():
        write_text(folder / name, content)


def per_utterance(scores: RowScores) -> list[dict]:
    """A row's lines for the CSV, each with the utterance's own value of each metric.

    Of a correlation that is one within the utterance, over its frames or words.
    """
    values = {
        key: dict(zip(entry.ids, map(rounded, entry.values()), strict=True))
        for key, entry in scores.statistics.items()
    }
    return [
        line | {key: own.get(line["utt"], "") for key, own in values.items()}
        for line in scores.utterances
    ]


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


def long_form(results: dict, tables: list[str]) -> list[dict]:
    """One line per table, row, seed and metric.

    ``seed`` is "mean" for the mean over seeds, which alone has an interval: ``low``
    and ``high``.
    """
    lines = []
    for table in tables:
        for row, content in results[table].items():
            for metric, entry in content["metrics"].items():
                column = find_column(table, metric)
                unit = column.unit if column else ""
                line = {"table": table, "row": row, "metric": metric, "unit": unit}
                low, high = entry["interval"] or ("", "")
                mean = {"seed": "mean", "value": entry["mean"], "low": low}
                lines.append(line | mean | {"high": high})
                if len(content["seeds"]) > 1:
                    seeds = zip(content["seeds"], entry["values"], strict=True)
                    lines += [line | {"seed": s, "value": v} for s, v in seeds]
    return lines


def _csv(names: list[str], lines: list[dict]) -> str:
    table = io.StringIO()
    writer = csv.DictWriter(table, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return table.getvalue()
