"""Score tables in Markdown."""

from espnet2_taste.evaluate.columns import COLUMNS, TITLES, Column
from espnet2_taste.evaluate.scorers.rows import row_key
from espnet2_taste.evaluate.wer import percent

#: Tables without sampling seeds: they show how many items there are, and intervals.
TESTS = ("likelihood", "qa")


def format_value(metric: dict | None, digits: int) -> str:
    """``{"mean", "spread"}`` -> "0.905 ± 0.010"; undefined is n/a, never 0."""
    if metric is None or metric["mean"] is None:
        return "n/a"
    text = f"{metric['mean']:.{digits}f}"
    if metric.get("spread") is not None:
        text += f" ± {metric['spread']:.{digits}f}"
    return text


def format_interval(metric: dict | None, digits: int) -> str:
    """``{"interval"}`` -> "[0.880, 0.921]"; "" where there is none."""
    if metric is None or metric.get("interval") is None:
        return ""
    low, high = metric["interval"]
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def size_heading(kind: str) -> str:
    """What :func:`size` counts."""
    return "Items" if kind in TESTS else "Seeds"


def size(kind: str, row: dict) -> str:
    """Sampling seeds of a row, or pairs or questions of a test."""
    if kind not in TESTS:
        return str(len(row["seeds"]))
    return str(max(metric["utterances"][0] for metric in row["metrics"].values()))


def shown_columns(kind: str, rows: dict[str, dict]) -> list[Column]:
    """The columns of a table that at least one row has a value for."""
    known = {
        key
        for row in rows.values()
        for key, metric in row["metrics"].items()
        if any(value is not None for value in metric["values"])
    }
    return [c for c in COLUMNS[kind] if c.key in known]


def heading(column: Column, upper_bounds: dict[str, str] | None = None) -> str:
    """Label, unit, an arrow to where it is better; † of an upper bound."""
    unit = f" ({column.unit})" if column.unit else ""
    arrow = {"lower": " ↓", "higher": " ↑", "": ""}[column.better]
    return column.label + unit + arrow + " †" * (column.key in (upper_bounds or {}))


def score_cells(
    kind: str, rows: dict[str, dict], upper_bounds: dict[str, str] | None = None
) -> list[list[str]]:
    """Header and body of a score table as text cells."""
    columns = shown_columns(kind, rows)
    header = ["Row", size_heading(kind), *(heading(c, upper_bounds) for c in columns)]
    body = []
    for name, row in rows.items():
        line = [name, size(kind, row)]
        for column in columns:
            metric = row["metrics"].get(column.key)
            text = format_value(metric, column.digits)
            if kind in TESTS:
                text = f"{text} {format_interval(metric, column.digits)}".strip()
            line.append(text)
        body.append(line)
    return [header, *body]


def error_cells(rows: dict[str, dict]) -> list[list[str]]:
    """ESPnet's WER table: one line per row and seed that a recogniser heard,
    percentages of words."""
    header = ["dataset", "Snt", "Wrd", "Corr", "Sub", "Del", "Ins", "Err", "S.Err"]
    body = []
    for name, row in rows.items():
        for seed, e in zip(row["seeds"], row["errors"], strict=True):
            if e is None:
                continue
            wrong = e["substituted"], e["deleted"], e["inserted"]
            shares = [e["words"] - e["substituted"] - e["deleted"], *wrong, sum(wrong)]
            cells = [percent(n, e["words"]) for n in shares]
            cells.append(percent(e["sentence_errors"], e["sentences"]))
            label = row_key(name, seed)
            body.append([label, str(e["sentences"]), str(e["words"]), *cells])
    return [header, *body]


def code_cells(codes: dict) -> list[list[str]]:
    """Bit rates and codebook use."""
    lines = [["Quantity", "Value"]]
    for key, (label, form) in CODE_LABELS.items():
        value = codes.get(key)
        if isinstance(value, list):
            lines.append([label, ", ".join(form.format(v) for v in value)])
        elif value is not None:
            lines.append([label, form.format(value)])
    return lines


CODE_LABELS = {
    "num_codebooks": ("codebooks", "{:d}"),
    "codebook_size": ("entries per codebook", "{:d}"),
    "vectors_per_second": ("code vectors (words) per second", "{:.2f}"),
    "nominal_bitrate": ("nominal bits per second", "{:.1f}"),
    "entropy_bitrate": ("bits per second, measured entropy", "{:.1f}"),
    "entropy": ("entropy per codebook (bits)", "{:.2f}"),
    "utilisation": ("codebook utilisation, test set, mean", "{:.3f}"),
    "utilisation_per_codebook": ("the same per codebook", "{:.3f}"),
    "train_utilisation": ("codebook utilisation, training set, mean", "{:.3f}"),
    "train_utilisation_per_codebook": ("the same per codebook", "{:.3f}"),
    "units_per_second": ("speech units per second", "{:.2f}"),
    "unit_entropy_bitrate": ("bits per second of the speech units", "{:.1f}"),
}


def failure_cells(scores: dict) -> list[list[str]]:
    """Row, reason, count: what every comparison had to leave out."""
    lines = [["Table", "Row", "Reason", "Count"]]
    for kind in COLUMNS:
        for name, row in scores.get(kind, {}).items():
            for seed, failures in zip(row["seeds"], row["failures"], strict=True):
                label = row_key(name, seed)
                for reason, count in sorted(failures.items()):
                    lines.append([TITLES[kind], label, reason, str(count)])
    return lines


def tables(scores: dict) -> dict[str, list[list[str]]]:
    """Title key -> cells (first line the header), empty tables left out."""
    result = {}
    for kind in COLUMNS:
        if scores.get(kind):
            result[kind] = score_cells(kind, scores[kind], scores.get("upper_bounds"))
    all_rows = scores.get("reconstruction", {}) | scores.get("continuation", {})
    result["errors"] = error_cells(all_rows)
    if scores.get("codes"):
        result["codes"] = code_cells(scores["codes"])
    if scores.get("rtf"):
        lines = [
            [step, f"{found['rtf']:.4f}", found["device"], str(found["batch_size"])]
            for step, found in scores["rtf"].items()
        ]
        header = ["Step", "Real-time factor", "Device", "Batch size"]
        result["rtf"] = [header, *lines]
    result["failures"] = failure_cells(scores)
    missing = [[label, why] for label, why in scores.get("not_computed", {}).items()]
    result["not_computed"] = [["Metric", "What to install"], *missing]
    return {key: cells for key, cells in result.items() if len(cells) > 1}


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


def definitions(scores: dict, kinds: list[str]) -> str:
    """One line per metric shown, for the foot of a table."""
    lines = []
    for kind in kinds:
        for column in shown_columns(kind, scores[kind]):
            line = f"- *{TITLES[kind]}, {column.label}*: {column.meaning}"
            bound = scores.get("upper_bounds", {}).get(column.key)
            lines.append(f"{line}; † {bound}" if bound else line)
    return "\n".join(lines)


def scorer_lines(scorers: dict[str, str]) -> str:
    """What measured, one line each."""
    return "\n".join(f"- {what}: {identity}" for what, identity in scorers.items())


def markdown(scores: dict) -> str:
    """The whole of ``table.md``."""
    parts = [
        f"## {TITLES[key]}\n\n{markdown_table(cells)}\n"
        for key, cells in tables(scores).items()
    ]
    kinds = [kind for kind in COLUMNS if scores.get(kind)]
    parts.append(f"## Definitions\n\n{definitions(scores, kinds)}\n")
    parts.append(f"## Scorers\n\n{scorer_lines(scores['scorers'])}\n")
    parts.append(
        "± is half the range over seeds, [low, high] a 95 % bootstrap interval.\n"
    )
    return "\n".join(parts)
