"""From measured rows to the parts of ``results.json``."""

from collections import Counter
from collections.abc import Iterable

from espnet2_taste.evaluate.column import Column, to_json
from espnet2_taste.evaluate.rows import Row
from espnet2_taste.evaluate.scorers.abs_scorer import AbsReader, AbsScorer
from espnet2_taste.evaluate.scorers.prosody import reason

#: The row whose difference to the others is tested; without it, the last one.
COMPARED_TO = {"reconstruction": "taste", "continuation": "taslm"}


def score_rows(rows: list[Row]) -> None:
    """Fill in the rows' statistics, failures and lines.

    Of two scorers that give a metric the first one's is taken.

    Args:
        rows: measured; the originals first.
    """
    original = rows[0]
    for row in rows:
        for utt in row.expected:
            found = row.measures.get(utt)
            row.lines[utt] = {
                "failure": "missing" if found is None else found.failure,
                "seconds": "" if found is None else round(found.seconds, 3),
            }
        failures = [reason(line["failure"]) for line in row.lines.values()]
        row.failures = dict(Counter(filter(None, failures)))
        for scorer in row.scorers:
            for key, found in scorer.score(row, original).items():
                row.statistics.setdefault(key, found)


def describe(rows: list[Row], conditioned_by: str = "") -> dict[str, dict | list]:
    """Columns of both tables; scorer -> package, version, weights (all of them where
    rows differ); what scorers warn of; metrics of rough ones, and those that are upper
    bounds, as ``results.json`` has them."""
    columns: dict[str, list[Column]] = {"reconstruction": [], "continuation": []}
    names: dict[str, dict[str, None]] = {}
    warnings: dict[str, None] = {}
    for row in rows:
        for scorer in row.scorers:
            columns[row.table] += scorer.shown(row.table)
            warnings[scorer.warning] = None
            if not isinstance(scorer, AbsReader):
                names.setdefault(scorer.name, {})[scorer.identity] = None
    known = {name: "; ".join(identities) for name, identities in names.items()}
    bounds: dict[str, str] = {}
    for scorer in rows[0].scorers:
        known |= scorer.described(rows)
        bounds |= scorer.upper_bounds(rows[0], conditioned_by)
    return {
        "columns": {table: to_json(found) for table, found in columns.items()},
        "scorers": known,
        "warnings": list(filter(None, warnings)),
        "rough": [c.key for s in rows[0].scorers if s.rough for c in s.columns],
        "upper_bounds": bounds,
    }


def not_computed(
    lost: dict[type[AbsScorer], str], rows: Iterable[Row]
) -> dict[str, str]:
    """Label of each metric that could not be measured -> what to install.

    Args:
        lost: class of a scorer that is unavailable -> what to install.
        rows: that were scored; what one has a value of was computed.
    """
    known = {key for row in rows for key in row.statistics}
    return {
        column.label: why
        for scorer, why in reversed(lost.items())
        for column in scorer.columns
        if column.key not in known and not column.detail
    }


def compared_to(table: str, rows: list[Row]) -> str:
    """Name of the row that the others of a table are compared with; "" for none."""
    names = list(dict.fromkeys(row.name for row in rows))
    if table not in COMPARED_TO or len(names) < 2:
        return ""
    usual = COMPARED_TO[table]
    return usual if usual in names else names[-1]
