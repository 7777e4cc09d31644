"""Score tables in Markdown: what ``results.json`` says, whatever its metrics are."""

from espnet2_taste.evaluate.codes import code_cells
from espnet2_taste.evaluate.column import GROUPS, Column, columns_of
from espnet2_taste.evaluate.comparison import LEVEL
from espnet2_taste.evaluate.rows import row_key
from espnet2_taste.evaluate.statistics import MIN_UTTERANCES
from espnet2_taste.evaluate.word_errors import error_cells

#: Score tables and their titles, in order.
TABLES = {
    "reconstruction": "Reconstruction",
    "continuation": "Continuation of a prompt",
    "likelihood": "Likelihood tests",
    "qa": "Question answering",
}
#: Those and the other parts of the results.
TITLES = TABLES | {
    "errors": "Word errors (%)",
    "codes": "Codes",
    "rtf": "Real-time factors",
    "failures": "Utterances that could not be compared",
    "not_computed": "Not computed",
}
#: Tables without sampling seeds: they show how many items there are.
TESTS = ("likelihood", "qa")
#: Of a table in Markdown: columns, characters.
MAX_COLUMNS, MAX_WIDTH = 10, 120
SAME = " ≈"  # see NOTES
NOTES = (
    "± is half the range over seeds. ≈ marks what cannot be told from the row that a "
    f"table is compared with (p > {LEVEL}, paired bootstrap, Holm over the row's "
    "metrics) or from chance (likewise, Holm over the table's cells); fewer than "
    f"{MIN_UTTERANCES} utterances tell nothing apart. 95 % intervals and further "
    "metrics are in results.csv and in the report.\n"
)


def format_value(metric: dict | None, column: Column) -> str:
    """``{"mean", "spread"}`` -> "0.905 ± 0.010"; undefined is n/a, never 0."""
    if metric is None or metric["mean"] is None:
        return "n/a"
    text = f"{metric['mean']:.{column.digits}f}"
    if metric.get("spread") is not None:
        text += f" ± {metric['spread']:.{column.digits}f}"
    return text + SAME * is_same(metric)


def is_same(metric: dict) -> bool:
    """Whether a value was compared and could not be told apart; null: too few."""
    return "p" in metric and (metric["p"] is None or metric["p"] > LEVEL)


def format_interval(metric: dict | None, digits: int) -> str:
    """``{"interval"}`` -> "[0.880, 0.921]"; "" where there is none."""
    if metric is None or metric.get("interval") is None:
        return ""
    low, high = metric["interval"]
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def size_heading(kind: str) -> str:
    """What :func:`size_of` counts."""
    return "Items" if kind in TESTS else "Seeds"


def size_of(kind: str, row: dict) -> str:
    """Sampling seeds of a row, or pairs or questions of a test."""
    if kind not in TESTS:
        return str(len(row["seeds"]))
    return str(max(metric["utterances"][0] for metric in row["metrics"].values()))


def shown_columns(results: dict, kind: str) -> list[Column]:
    """The columns of a table that at least one row has a value for."""
    known = {
        key
        for row in results[kind].values()
        for key, metric in row["metrics"].items()
        if any(value is not None for value in metric["values"])
    }
    return [c for c in columns_of(results, kind) if c.key in known]


def heading(column: Column, results: dict) -> str:
    """Of a column; † of an upper bound."""
    return column.heading + " †" * (column.key in results.get("upper_bounds", {}))


def score_cells(
    results: dict, kind: str, columns: list[Column] | None = None
) -> list[list[str]]:
    """Header and body of a score table as text cells; all its columns by default."""
    columns = shown_columns(results, kind) if columns is None else columns
    header = ["Row", size_heading(kind), *(heading(c, results) for c in columns)]
    body = []
    for name, row in results[kind].items():
        values = [format_value(row["metrics"].get(c.key), c) for c in columns]
        body.append([name, size_of(kind, row), *values])
    return [header, *body]


def group_tables(results: dict, kind: str) -> list[tuple[str, list[list[str]]]]:
    """(group, cells) of a table: at most ten columns and 120 characters each."""
    parts = []
    for group in GROUPS:
        columns = [
            c for c in shown_columns(results, kind) if c.group == group and not c.detail
        ]
        while columns:
            count = min(len(columns), MAX_COLUMNS - 2)
            cells = score_cells(results, kind, columns[:count])
            while count > 1 and _width(cells) > MAX_WIDTH:
                count -= 1
                cells = score_cells(results, kind, columns[:count])
            parts.append((group, cells))
            columns = columns[count:]
    return parts


def _width(cells: list[list[str]]) -> int:
    return 1 + sum(1 + max(map(len, column)) for column in zip(*cells, strict=True))


def failure_cells(results: dict) -> list[list[str]]:
    """Row, reason, count: what every comparison had to leave out."""
    lines = [["Table", "Row", "Reason", "Count"]]
    for kind in TABLES:
        for name, row in results.get(kind, {}).items():
            for seed, failures in zip(row["seeds"], row["failures"], strict=True):
                label = row_key(name, seed)
                for reason, count in sorted(failures.items()):
                    lines.append([TITLES[kind], label, reason, str(count)])
    return lines


def other_tables(results: dict) -> dict[str, list[list[str]]]:
    """Title key -> cells of what is no score table, empty ones left out."""
    all_rows = results.get("reconstruction", {}) | results.get("continuation", {})
    rtf = [
        [step, f"{found['rtf']:.4f}", found["device"], str(found["batch_size"])]
        for step, found in results.get("rtf", {}).items()
    ]
    missing = [list(item) for item in results.get("not_computed", {}).items()]
    found = {
        "errors": error_cells(all_rows),
        "codes": code_cells(results.get("codes", {})),
        "rtf": [["Step", "Real-time factor", "Device", "Batch size"], *rtf],
        "failures": failure_cells(results),
        "not_computed": [["Metric", "What to install"], *missing],
    }
    return {key: cells for key, cells in found.items() if len(cells) > 1}


def markdown_table(cells: list[list[str]]) -> str:
    """Cells -> a Markdown table, columns padded to be read as plain text too."""
    cells = [[cell.replace("|", "\\|") for cell in line] for line in cells]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = [
        "|" + "|".join(f"{c:<{w}}" for c, w in zip(line, widths, strict=True)) + "|"
        for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * max(w, 3) for w in widths) + "|")
    return "\n".join(lines)


def meaning(column: Column, results: dict) -> str:
    """Of a column; of an upper bound, why it is one."""
    why = results.get("upper_bounds", {}).get(column.key)
    return column.meaning + (f"; † {why}" if why else "")


def definitions(results: dict, kind: str) -> list[tuple[str, str]]:
    """(label, meaning) of each metric shown."""
    return [(c.label, meaning(c, results)) for c in shown_columns(results, kind)]


def markdown(results: dict) -> str:
    """The whole of ``table.md``: all tables, definitions and scorers."""
    parts = [f"> **Warning.** {text}\n" for text in results.get("warnings", [])]
    meanings: dict[tuple[str, str], list[str]] = {}
    for kind, title in TABLES.items():
        if not results.get(kind):
            continue
        parts.append(f"## {title}\n")
        if compared := results.get("compared_to", {}).get(kind):
            parts.append(f"Compared with *{compared}*.\n")
        found = group_tables(results, kind)
        groups = {group for group, _ in found}
        before = ""
        for group, cells in found:
            if group != before and len(groups) > 1:
                parts.append(f"### {group.capitalize()}\n")
            parts.append(f"{markdown_table(cells)}\n")
            before = group
        for definition in definitions(results, kind):
            meanings.setdefault(definition, []).append(title)
    for key, cells in other_tables(results).items():
        parts.append(f"## {TITLES[key]}\n\n{markdown_table(cells)}\n")
    told = [
        f"- *{label}* ({', '.join(titles).lower()}): {what}"
        for (label, what), titles in meanings.items()
    ]
    scorers = [f"- {what}: {who}" for what, who in results["scorers"].items()]
    parts += ["## Definitions\n", *told, "", "## Scorers\n", *scorers, "", NOTES]
    return "\n".join(parts)
