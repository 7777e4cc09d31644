"""Rows of results and how people read them; needs nothing but Python."""

from dataclasses import dataclass


@dataclass
class Row:
    """One line of the table.

    Attributes:
        case: what was done.
        value: median, or peak.
        unit: of ``value``.
        ratio: how many times better than ``against``, measured in the same run.
        against: the naive way, or the case compared with.
        target: what ``ratio`` (or, without one, ``value``) should reach, in words.
        note: anything else.
    """

    case: str
    value: float
    unit: str = "ms"
    ratio: float | None = None
    against: str = ""
    target: str = ""
    note: str = ""

    def __str__(self) -> str:
        note = f" ({self.note})" if self.note else ""
        return f"{self.case}: {number(self.value, self.unit)}{note}"


def markdown(results: dict[str, list[Row]], about: dict[str, str]) -> str:
    """The table, below the machine."""
    lines = [f"{name}: {value}  " for name, value in about.items()]
    lines += [
        "",
        "| | median | better than | by | target | |",
        "|---|--:|---|--:|---|---|",
    ]
    for name, rows in results.items():
        lines.append(f"| **{name}** | | | | | |")
        for row in rows:
            ratio = "" if row.ratio is None else f"{row.ratio:.1f} x"
            cells = (row.case, number(row.value, row.unit), row.against)
            lines.append(
                "| " + " | ".join((*cells, ratio, row.target, row.note)) + " |"
            )
    return "\n".join(lines) + "\n"


def number(value: float, unit: str) -> str:
    """A value with as many digits as it deserves, and its unit."""
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} {unit}"


def headline(results: dict[str, list[Row]]) -> str:
    """One line: the first row, or how many there are of several benchmarks."""
    if len(results) > 1:
        count = sum(len(rows) for rows in results.values())
        return f"{count} rows of {len(results)} benchmarks"
    rows = [row for found in results.values() for row in found]
    return str(rows[0]) if rows else "no rows"
