"""Scored systems side by side: named, paired row by row, compared in every metric."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from espnet2_taste.evaluate.column import Column, columns_of, find_column
from espnet2_taste.evaluate.comparison import LEVEL, Comparison, compare, holm
from espnet2_taste.evaluate.results import null, to_csv
from espnet2_taste.evaluate.rows import REFERENCE_ROW
from espnet2_taste.evaluate.score import COMPARED_TO
from espnet2_taste.evaluate.score_folder import ScoreFolder
from espnet2_taste.evaluate.table import TABLES, TITLES, markdown_table


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


def comparison_markdown(results: dict) -> str:
    """``compare.md`` from what ``bin.compare`` computed."""
    names = [s["name"] for s in results["systems"]]
    parts = [f"# {' / '.join(names)}", *_scorer_notes(results)]
    for table in results["tables"]:
        rows = " / ".join(dict.fromkeys(table["rows"]))
        seeds = ", ".join(
            f"{name} {count}" for name, count in zip(names, table["seeds"], strict=True)
        )
        parts.append(f"## {TITLES[table['table']]}: {rows}")
        parts.append(markdown_table(_cells(names, table, results["level"])))
        parts.append("\n".join([*_left_out(names, table), f"Seeds: {seeds}."]))
    parts.append(
        "[low, high]: 95 % intervals of a bootstrap over utterances "
        f"({results['resamples']} resamples), the same draws for all systems, a "
        "system's seeds averaged in each. p: two-sided, of this difference alone. "
        f"\\*: p <= {results['level']} after Holm's correction over all differences "
        "of the table."
    )
    return "\n\n".join(parts) + "\n"


def _scorer_notes(results: dict) -> list[str]:
    """Numbers of different scorers are not comparable: say which differ."""
    notes = []
    scorers = [s["scorers"] for s in results["systems"]]
    for what in dict.fromkeys(what for known in scorers for what in known):
        found = [known.get(what, "none") for known in scorers]
        if len(set(found)) > 1:
            names = [s["name"] for s in results["systems"]]
            pairs = zip(names, found, strict=True)
            listed = "; ".join(f"{name}: {identity}" for name, identity in pairs)
            notes.append(f"**Different scorers** of {what}: {listed}")
    return notes


def _cells(names: list[str], table: dict, level: float) -> list[list[str]]:
    header = ["Metric", "Utterances", *names]
    for name in names[1:]:
        header += [f"{name} − {names[0]}", "p"]
    body = []
    for entry in table["metrics"].values():
        column = Column(**entry["column"])
        line = [column.heading, str(entry["utterances"])]
        for system in entry["systems"]:
            line.append(_with_interval(system, "", column))
        for system in entry["systems"][1:]:
            text = _with_interval(system, "difference", column)
            star = " \\*" if (system["p_holm"] or 1) <= level else ""
            p = system["p"]
            line += [text + star, "n/a" if p is None else f"{p:.4f}"]
        body.append(line)
    return [header, *body]


def _with_interval(system: dict, what: str, column: Column) -> str:
    """The value of a system, or its ``difference``, and its interval."""
    value = system[what or "value"]
    if value is None:
        return "n/a"
    form = f"{{:{'+' if what else '-'}.{column.digits}f}}"
    bounds = [system[f"{what}_{end}".lstrip("_")] for end in ("low", "high")]
    if None in bounds:
        return form.format(value)
    return f"{form.format(value)} [{', '.join(map(form.format, bounds))}]"


def _left_out(names: list[str], table: dict) -> list[str]:
    """One sentence for all metrics that lost the same numbers of utterances."""
    groups: dict[tuple, list[str]] = {}
    for entry in table["metrics"].values():
        if any(entry["left_out"]):
            counts = (entry["utterances"], entry["total"], *entry["left_out"])
            label = entry["column"]["label"]
            groups.setdefault(counts, []).append(label)
    lines = []
    for (used, total, *left_out), labels in groups.items():
        pairs = zip(names, left_out, strict=True)
        counts = ", ".join(f"{name} {count}" for name, count in pairs)
        lines.append(
            f"{', '.join(labels)}: {used} of {total} utterances are compared; scored, "
            f"but not in every system: {counts}.\n"
        )
    return lines


def comparison_csv(results: dict) -> str:
    """One line per table, metric and system; undefined is empty."""
    lines = [
        {
            "table": table["table"],
            "metric": key,
            "unit": entry["column"]["unit"],
            "system": results["systems"][i]["name"],
            "row": table["rows"][i],
            "seeds": table["seeds"][i],
            "utterances": entry["utterances"],
            **system,
        }
        for table in results["tables"]
        for key, entry in table["metrics"].items()
        for i, system in enumerate(entry["systems"])
    ]
    return to_csv(lines, digits=None)
