"""Scored systems side by side: named, paired row by row, compared in every metric."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from espnet2_taste.evaluate.column import columns_of, find_column
from espnet2_taste.evaluate.comparison import LEVEL, Comparison, compare, holm
from espnet2_taste.evaluate.results import null
from espnet2_taste.evaluate.rows import REFERENCE_ROW
from espnet2_taste.evaluate.score import COMPARED_TO
from espnet2_taste.evaluate.score_folder import ScoreFolder
from espnet2_taste.evaluate.table import TABLES


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a row of a scoring; "" is the default one."""

    scores: ScoreFolder
    row: str = ""


def parse_side(text: str) -> tuple[tuple[str, ...], Side]:
    """``[name=]path[:row[:seed]]`` -> names it may have, the shortest first; and it."""
    name, equals, path = text.partition("=")
    if not equals or "/" in name:
        name, path = "", text
    pieces = path.split(":")
    # A path may hold colons itself: the longest that exists is it.
    for end in range(len(pieces), 0, -1):
        folder, row = Path(":".join(pieces[:end])), ":".join(pieces[end:])
        if folder.is_dir():
            label = folder.resolve().name
            names = (row or label, f"{label}:{row}" if row else label, text)
            return (name,) * 3 if name else names, Side(ScoreFolder.find(folder), row)
    raise FileNotFoundError(f"'{text}': no folder {path}")


def parse_systems(texts: list[str]) -> dict[str, Side]:
    """Systems by name: the row's or folder's if that tells them apart, else more.

    Raises:
        ValueError: fewer than two, or two that cannot be told apart.
    """
    if len(texts) < 2:
        raise ValueError("give at least two systems to compare")
    known, sides = zip(*map(parse_side, texts), strict=True)
    for names in zip(*known, strict=True):
        if len(set(names)) == len(names):
            return dict(zip(names, sides, strict=True))
    twice = next(n for n in names if names.count(n) > 1)
    raise ValueError(f"{twice} is given twice; name them: name={twice}")


def check_references(systems: dict[str, Side]) -> None:
    """Raises ValueError at the first utterance that systems have other words for.

    Scores without a recogniser do not tell the words.
    """
    first = next(iter(systems))
    known = systems[first].scores.utterances.get(REFERENCE_ROW, {})
    for name, system in systems.items():
        lines = system.scores.utterances.get(REFERENCE_ROW, {})
        pair = f"{first} and {name} have different references"
        for utt, line in lines.items():
            words = [side.get("text") for side in (known.get(utt, {}), line)]
            if None not in words and words[0] != words[1]:
                raise ValueError(
                    f"{pair}: utterance {utt} is '{words[0]}' in the one, "
                    f"'{words[1]}' in the other"
                )
        if known and lines and not known.keys() & lines.keys():
            raise ValueError(
                f"{pair}: no utterance in common, the first are {next(iter(known))} "
                f"and {next(iter(lines))}"
            )


def pair_rows(systems: dict[str, Side], rows: list[str]) -> list[tuple[str, list[str]]]:
    """(table, row of each system) to compare.

    Raises:
        ValueError: a row does not exist, or nothing is shared.
    """
    have = {name: ", ".join(s.scores.all_rows()) for name, s in systems.items()}
    for name, system in systems.items():
        for row in rows or [system.row] * bool(system.row):
            if not any(system.scores.row_keys(table, row) for table in TABLES):
                raise ValueError(f"{name} has no row '{row}', but {have[name]}")
    sides = list(systems.values())
    picked, found = [s.row for s in sides], []
    for table in TABLES:
        default = COMPARED_TO.get(table)
        usual = [default] if default else sides[0].scores.rows(table)
        wanted = [[name] * len(sides) for name in rows or usual]
        if any(picked):
            wanted = [[row or usual[0] for row in picked]] if usual else []
        for group in wanted:
            pairs = zip(sides, group, strict=True)
            if all(s.scores.row_keys(table, row) for s, row in pairs):
                found.append((table, group))
    if not found:
        listed = "; ".join(f"{name}: {rows}" for name, rows in have.items())
        raise ValueError(f"no row is shared, name some (path:row); {listed}")
    return found


def compare_rows(
    sides: list[Side], table: str, rows: list[str], resamples: int, seed: int
) -> dict[str, Comparison]:
    """Metric key -> comparison, for the metrics defined for all, in table order.

    A metric without an utterance common to all is left out with a warning.
    """
    result = {}
    for column in columns_of(sides[0].scores.results, table):
        seeds = [
            system.scores.seeds(table, row, column.key)
            for system, row in zip(sides, rows, strict=True)
        ]
        if all(s and all(one.scored for one in s) for s in seeds):
            try:
                result[column.key] = compare(seeds, resamples, seed)
            except ValueError as error:
                where = f"{table}, {'/'.join(dict.fromkeys(rows))}, {column.label}"
                logging.warning("%s: %s; left out", where, error)
    return result


def comparison_results(
    systems: dict[str, Side], rows: list[str], resamples: int, seed: int
) -> dict:
    """All comparisons, JSON-ready; undefined is null.

    Raises:
        ValueError: the references differ, or nothing is shared.
    """
    check_references(systems)
    sides, tables = list(systems.values()), []
    for table, group in pair_rows(systems, rows):
        found = compare_rows(sides, table, group, resamples, seed)
        others = [one for c in found.values() for one in c.systems[1:]]
        for one, p in zip(others, holm([one.p for one in others]), strict=True):
            one.p_holm = p
        metrics = {
            key: {
                "utterances": len(comparison.ids),
                "total": comparison.total,
                "left_out": comparison.left_out,
                "systems": [
                    {name: null(value) for name, value in vars(one).items()}
                    for one in comparison.systems
                ],
                "column": asdict(find_column(sides[0].scores.results, table, key)),
            }
            for key, comparison in found.items()
        }
        if metrics:
            pairs = zip(sides, group, strict=True)
            seeds = [len(side.scores.row_keys(table, row)) for side, row in pairs]
            tables.append(
                {"table": table, "rows": group, "seeds": seeds, "metrics": metrics}
            )
    if not tables:
        raise ValueError("no metric is defined for all systems")
    named = [
        {
            "name": name,
            "folder": str(side.scores.path),
            "scorers": side.scores.results.get("scorers", {}),
        }
        for name, side in systems.items()
    ]
    options = {"resamples": resamples, "seed": seed, "level": LEVEL}
    return {"systems": named, **options, "tables": tables}
