"""``ablation.md``: the variants' table, then one section per axis."""

from espnet2_taste.evaluate.columns import COLUMNS, Column, find_column
from espnet2_taste.evaluate.report.comparison import comparison_markdown
from espnet2_taste.evaluate.table import heading, markdown_table, scorer_lines

TABLE = "reconstruction"
DECIDED = (
    "Better and worse are said where there is a \\* and the difference has the same "
    "sign for every training seed."
)
VERDICTS = {"better": "better", "worse": "worse", "open": "not decided"}


def ablation_markdown(results: dict) -> str:
    """Markdown from what ``bin.ablate`` computed."""
    parts = [
        f"# Ablation: {', '.join(results['axes'])}",
        f"Made by `{results['command']}`; training seeds: "
        f"{', '.join(map(str, results['seeds']))}.",
        scorer_lines(results["scorers"]),
    ]
    rows = results["reference"] | results["variants"]
    known = {key for row in rows.values() for key in row["metrics"]}
    columns = [c for c in COLUMNS[TABLE] if c.key in known]
    body = [["Row", *map(heading, columns)]]
    for name, row in rows.items():
        body.append([name, *(_cell(row["metrics"].get(c.key), c) for c in columns)])
    parts += [
        markdown_table(body),
        "Mean and, in brackets, lowest and highest of the training seeds, each the "
        "mean of its sampling seeds. Rows without brackets are the same for all.",
    ]
    for reason in (f"- {tag}: {why}" for tag, why in results["failed"].items()):
        parts.append(f"**Failed:**\n\n{reason}")
    legend = []
    for axis, comparisons in results["questions"].items():
        parts.append(f"## {axis}: {' or '.join(results['axes'][axis])}?")
        if not comparisons:
            parts.append("Not answered: fewer than two choices were trained.")
            continue
        parts.append("\n".join(line for one in comparisons for line in _answers(one)))
        for one in comparisons:
            *shown, explained = comparison_markdown(one).strip().split("\n\n")
            parts += [part for part in shown if not part.startswith("#")]
            legend = [explained, DECIDED]
    parts += legend
    return "\n\n".join(parts) + "\n"


def _cell(metric: dict | None, column: Column) -> str:
    if metric is None or metric["mean"] is None:
        return "n/a"
    values = [f"{v:.{column.digits}f}" for v in sorted(metric["values"])]
    text = f"{metric['mean']:.{column.digits}f}"
    return f"{text} [{values[0]}, {values[-1]}]" if len(values) > 1 else text


def _answers(found: dict) -> list[str]:
    """One sentence per choice that is not the first."""
    first = found["systems"][0]["name"]
    lines = []
    for choice, answer in found["answer"].items():
        said = [
            f"{words} in {', '.join(find_column(TABLE, k).label for k in answer[key])}"
            for key, words in VERDICTS.items()
            if answer[key]
        ]
        lines.append(f"- **{choice}** against {first}: {'; '.join(said)}.")
    return lines
