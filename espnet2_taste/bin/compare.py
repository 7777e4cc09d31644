"""Compare systems side by side, with paired bootstrap intervals.

Every argument is a scores folder (output_dir of ``bin.score``) or an experiment folder
that holds one; ``name=path`` names it, ``path:row`` picks its row. For every table and
metric that all systems have: each one's value and 95 % interval, its difference to the
first system, 95 % interval and two-sided p (see ``metrics.comparison``). A * marks
p <= 0.05 after Holm's correction over all the differences of one table. Prints
Markdown; ``--output_dir`` also gets ``compare.md``, ``compare.json``, ``compare.csv``.
"""

import argparse
import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path

from espnet2_taste.atomic import write_text
from espnet2_taste.bin import run
from espnet2_taste.metrics.columns import COLUMNS
from espnet2_taste.metrics.comparison import (
    LEVEL,
    RESAMPLES,
    Comparison,
    compare,
    holm,
    scored_ids,
)
from espnet2_taste.metrics.score_folder import ScoreFolder, find_scores
from espnet2_taste.report.comparison import comparison_csv, comparison_markdown

REFERENCE_ROW = "original"
#: What is compared unless rows are named; of other tables, all rows that are shared.
DEFAULT_ROWS = {"reconstruction": ["taste"], "continuation": ["taslm"]}


@dataclass(frozen=True)
class System:
    """One side of a comparison.

    Attributes:
        names: what it may be called, the shortest first.
        scores: a scoring.
        row: of it; "" for the default one.
    """

    names: tuple[str, ...]
    scores: ScoreFolder
    row: str

    @classmethod
    def parse(cls, text: str) -> "System":
        """``[name=]path[:row]``; the row may be ``row:seed``."""
        name, equals, path = text.partition("=")
        if not equals or "/" in name:
            name, path = "", text
        pieces = path.split(":")
        # A path may hold colons itself: the longest that exists is it.
        for end in range(len(pieces), 0, -1):
            folder = Path(":".join(pieces[:end]))
            if folder.is_dir():
                row = ":".join(pieces[end:])
                scores = ScoreFolder.read(find_scores(folder))
                label = folder.resolve().name
                names = (row or label, f"{label}:{row}" if row else label, text)
                return cls((name,) * 3 if name else names, scores, row)
        raise FileNotFoundError(f"'{text}': no folder {path}")


def parse_systems(texts: list[str]) -> dict[str, System]:
    """Systems by name: the row's or folder's if that tells them apart, else more.

    Raises:
        ValueError: fewer than two, or two that cannot be told apart.
    """
    if len(texts) < 2:
        raise ValueError("give at least two systems to compare")
    systems = [System.parse(text) for text in texts]
    for names in zip(*(s.names for s in systems), strict=True):
        if len(set(names)) == len(names):
            return dict(zip(names, systems, strict=True))
    twice = next(n for n in names if names.count(n) > 1)
    raise ValueError(f"{twice} is given twice; name them: name={twice}")


def check_references(systems: dict[str, System]) -> None:
    """Raises ValueError at the first utterance that systems have other words for."""
    first = next(iter(systems))
    known = systems[first].scores.utterances.get(REFERENCE_ROW, {})
    for name, system in systems.items():
        lines = system.scores.utterances.get(REFERENCE_ROW, {})
        pair = f"{first} and {name} have different references"
        for utt, line in lines.items():
            if utt in known and known[utt]["text"] != line["text"]:
                raise ValueError(
                    f"{pair}: utterance {utt} is '{known[utt]['text']}' in the one, "
                    f"'{line['text']}' in the other"
                )
        if known and lines and not known.keys() & lines.keys():
            raise ValueError(
                f"{pair}: no utterance in common, the first are {next(iter(known))} "
                f"and {next(iter(lines))}"
            )


def pair_rows(
    systems: dict[str, System], rows: list[str]
) -> list[tuple[str, list[str]]]:
    """(table, row of each system) to compare.

    Raises:
        ValueError: a row does not exist, or nothing is shared.
    """
    have = {
        name: ", ".join(row for table in COLUMNS for row in s.scores.rows(table))
        for name, s in systems.items()
    }
    for name, system in systems.items():
        for row in rows or [system.row] * bool(system.row):
            if not any(system.scores.row_keys(table, row) for table in COLUMNS):
                raise ValueError(f"{name} has no row '{row}', but {have[name]}")
    sides = list(systems.values())
    picked = [s.row for s in sides]
    found = []
    for table in COLUMNS:
        usual = DEFAULT_ROWS.get(table) or sides[0].scores.rows(table)
        if any(picked):
            wanted = [[row or usual[0] for row in picked]] if usual else []
        else:
            wanted = [[name] * len(sides) for name in rows or usual]
        for group in wanted:
            pairs = zip(sides, group, strict=True)
            if all(s.scores.row_keys(table, row) for s, row in pairs):
                found.append((table, group))
    if not found:
        listed = "; ".join(f"{name}: {rows}" for name, rows in have.items())
        raise ValueError(f"no row is shared, name some (path:row); {listed}")
    return found


def compare_rows(
    sides: list[System], table: str, rows: list[str], resamples: int, seed: int
) -> dict[str, Comparison]:
    """Metric key -> comparison, for the metrics defined for all, in table order."""
    result = {}
    for column in COLUMNS[table]:
        seeds = [
            system.scores.seeds(table, row, column.key)
            for system, row in zip(sides, rows, strict=True)
        ]
        if all(s and all(scored_ids(one) for one in s) for s in seeds):
            try:
                result[column.key] = compare(seeds, resamples, seed)
            except ValueError as error:
                where = f"{table}, {'/'.join(dict.fromkeys(rows))}, {column.label}"
                raise ValueError(f"{where}: {error}") from None
    return result


def comparison_results(
    systems: dict[str, System], rows: list[str], resamples: int, seed: int
) -> dict:
    """All comparisons, JSON-ready; undefined is null.

    Raises:
        ValueError: the references differ, or nothing is shared.
    """
    check_references(systems)
    tables = []
    for table, group in pair_rows(systems, rows):
        sides = list(systems.values())
        found = compare_rows(sides, table, group, resamples, seed)
        p = holm([one.p for c in found.values() for one in c.systems[1:]])
        adjusted = iter(p)
        metrics = {}
        for key, comparison in found.items():
            results = [_jsonable(vars(one)) for one in comparison.systems]
            for result in results[1:]:
                result["p_holm"] = _null(next(adjusted))
            metrics[key] = {
                "utterances": len(comparison.ids),
                "total": comparison.total,
                "left_out": comparison.left_out,
                "systems": results,
            }
        if metrics:
            seeds = [
                len(s.scores.row_keys(table, row))
                for s, row in zip(sides, group, strict=True)
            ]
            tables.append(
                {"table": table, "rows": group, "seeds": seeds, "metrics": metrics}
            )
    if not tables:
        raise ValueError("no metric is defined for all systems")
    return {
        "systems": [
            {
                "name": name,
                "folder": str(s.scores.path),
                "scorers": s.scores.results.get("scorers", {}),
            }
            for name, s in systems.items()
        ],
        "resamples": resamples,
        "seed": seed,
        "level": LEVEL,
        "tables": tables,
    }


def _null(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _jsonable(fields: dict) -> dict:
    """nan -> null; an undefined interval is null as a whole."""
    result = {}
    for name, value in fields.items():
        if isinstance(value, tuple):
            result[name] = list(value) if all(map(math.isfinite, value)) else None
        else:
            result[name] = _null(value)
    return result


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("systems", nargs="+", metavar="SYSTEM", help="[name=]folder[:row[:seed]]")
    add(
        "--rows",
        nargs="+",
        default=[],
        help="rows of every system (default: taste, taslm and every shared test)",
    )
    add("--output_dir", type=Path, help="for compare.md, compare.json, compare.csv")
    add("--resamples", type=int, default=RESAMPLES, help="of the bootstrap")
    add("--seed", type=int, default=0)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Entry point; ``cmd`` defaults to ``sys.argv[1:]``."""
    args = get_parser().parse_args(cmd)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    systems = parse_systems(args.systems)
    results = comparison_results(systems, args.rows, args.resamples, args.seed)
    text = comparison_markdown(results)
    print(text)
    if args.output_dir:
        args.output_dir.mkdir(parents=True, exist_ok=True)
        contents = {
            "compare.md": text,
            "compare.csv": comparison_csv(results),
            "compare.json": json.dumps(results, indent=1, allow_nan=False) + "\n",
        }
        for name, content in contents.items():
            write_text(args.output_dir / name, content)


if __name__ == "__main__":
    run(main)
