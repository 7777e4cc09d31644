"""A metric as tables show it; every scorer owns the columns of what it measures."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

GROUPS = ("intelligibility", "prosody", "signal", "rate")


@dataclass(frozen=True)
class Column:
    """A metric, its definition and its looks.

    Attributes:
        key: of the metric. label: heading.
        meaning: one line: definition and range.
        digits: after the point.
        better: "lower", "higher" or "" where neither is.
        unit: "" for pure numbers.
        group: of ``GROUPS``: the table it is shown in.
        kind: of ``statistics.KINDS``: how utterances are summed.
        table: "reconstruction" or "continuation", if it belongs to one of them only.
        counted: what ``sums`` count ("words"): the worst utterance has the most errors.
        chance: value of guessing, which each row is tested against.
        detail: told in the csv and the report, too long for RESULTS.md.
    """

    key: str
    label: str
    meaning: str
    digits: int = 3
    better: str = "higher"
    unit: str = ""
    group: str = "signal"
    kind: str = "ratio"
    table: str = ""
    counted: str = ""
    chance: float | None = None
    detail: bool = False

    @property
    def heading(self) -> str:
        """Label, unit, and an arrow to where it is better."""
        unit = f" ({self.unit})" if self.unit else ""
        arrow = {"lower": " ↓", "higher": " ↑", "": ""}[self.better]
        return self.label + unit + arrow


def metric(columns: dict[Callable, Column], label: str, meaning: str, **looks):
    """Decorator: a function is the metric of its name.

    Args:
        columns: function -> its column, gets it.
        label, meaning, looks: of the column.
    """

    def register(function: Callable) -> Callable:
        columns[function] = Column(function.__name__, label, meaning, **looks)
        return function

    return register


def to_json(columns: Iterable[Column]) -> list[dict]:
    """For ``results.json``: each metric once, in the order of the groups."""
    unique = {column.key: column for column in reversed(list(columns))}
    order = sorted(
        reversed(unique.values()), key=lambda column: GROUPS.index(column.group)
    )
    return [asdict(column) for column in order]


def columns_of(results: dict, table: str) -> list[Column]:
    """The columns of a table of ``results.json``.

    Raises:
        ValueError: the results are of an older version.
    """
    if "columns" not in results:
        raise ValueError("results.json does not describe its columns: score again")
    return [Column(**entry) for entry in results["columns"].get(table, [])]


def find_column(results: dict, table: str, key: str) -> Column | None:
    """The column of a metric; None if the table shows none."""
    return next((c for c in columns_of(results, table) if c.key == key), None)
