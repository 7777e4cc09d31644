"""Tables of the HTML report: sortable, with intervals, each cell linked if need be."""

from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from espnet2_taste.evaluate.report.worst import WorstList
from espnet2_taste.evaluate.table import (
    format_interval,
    format_value,
    heading,
    shown_columns,
    size,
    size_heading,
)


@dataclass(frozen=True)
class Cell:
    """A table cell.

    Attributes:
        text: shown.
        value: what it is sorted by; None: its text.
        small: shown below, smaller.
        link: identifier within the page.
        hint: tooltip.
    """

    text: str
    value: float | None = None
    small: str = ""
    link: str = ""
    hint: str = ""


def anchor_link(anchor: str, body: str, attributes: str = "") -> str:
    """A link within the page; ``body`` is HTML."""
    return f'<a href="#{quote(anchor)}"{attributes}>{body}</a>'


def html_table(header: list[Cell], body: list[list[Cell]]) -> str:
    """A table that the page's script makes sortable."""
    head = "".join(
        f'<th scope="col"{_title(cell)}>{escape(cell.text)}</th>' for cell in header
    )
    lines = "".join(
        f"<tr>{''.join(_cell(cell, i == 0) for i, cell in enumerate(line))}</tr>"
        for line in body
    )
    return (
        '<div class="scroll" tabindex="0"><table class="sortable">'
        f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def text_table(cells: list[list[str]], links: dict[str, str] | None = None) -> str:
    """Text cells, first line the header -> a sortable table.

    Args:
        cells: text.
        links: text of a first cell -> where it leads within the page.
    """
    header, *body = [
        [Cell(first, link=(links or {}).get(first, "")), *map(Cell, rest)]
        for first, *rest in cells
    ]
    return html_table(header, body)


def score_table(kind: str, results: dict, worst: list[WorstList]) -> str:
    """A score table: values, spread over seeds, intervals, links to the worst."""
    anchors = {(w.row, w.column.key): w.anchor for w in worst if w.table == kind}
    rows, bounds = results[kind], results.get("upper_bounds", {})
    columns = shown_columns(kind, rows)
    header = [Cell("Row"), Cell(size_heading(kind))]
    header += [
        Cell(heading(c, bounds), hint=bounds.get(c.key, c.meaning)) for c in columns
    ]
    body = []
    for name, row in rows.items():
        first = next(
            (anchors[x] for c in columns if (x := (name, c.key)) in anchors), ""
        )
        line = [
            Cell(name, link=first, hint=f"worst utterances of {name}" if first else ""),
            Cell(size(kind, row)),
        ]
        for c in columns:
            metric = row["metrics"].get(c.key)
            link = anchors.get((name, c.key), "")
            line.append(
                Cell(
                    format_value(metric, c.digits),
                    metric["mean"] if metric else None,
                    format_interval(metric, c.digits),
                    link,
                    f"worst utterances of {name} by {c.label}" if link else "",
                )
            )
        body.append(line)
    return html_table(header, body)


def _title(cell: Cell) -> str:
    return f' title="{escape(cell.hint, quote=True)}"' if cell.hint else ""


def _cell(cell: Cell, is_row: bool) -> str:
    body = escape(cell.text)
    if cell.link:
        body = anchor_link(cell.link, body, _title(cell))
    if cell.small:
        body += f"<small>{escape(cell.small)}</small>"
    attributes = "" if cell.value is None else f' data-value="{cell.value:.9g}"'
    if not cell.link:
        attributes += _title(cell)
    if is_row:
        return f'<th scope="row"{attributes}>{body}</th>'
    return f"<td{attributes}>{body}</td>"
