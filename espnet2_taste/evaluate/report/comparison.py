"""Tables of a comparison of systems: Markdown to read, CSV to compute with."""

from espnet2_taste.evaluate.column import Column
from espnet2_taste.evaluate.results import to_csv
from espnet2_taste.evaluate.table import TITLES, markdown_table


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
