"""From rows and scorers to the tables of ``results.json``."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from espnet2_taste.evaluate import codes
from espnet2_taste.evaluate.column import Column, to_json
from espnet2_taste.evaluate.judge import judge_identity
from espnet2_taste.evaluate.rows import Row
from espnet2_taste.evaluate.scorers.abs_scorer import AbsReader, AbsScorer
from espnet2_taste.evaluate.scorers.beside import (
    BitRate,
    BuiltInTranscript,
    Judge,
    UnitAccuracy,
)
from espnet2_taste.evaluate.scorers.prosody import reason
from espnet2_taste.evaluate.scorers.words import WordsScorer

#: The row whose difference to the others is tested; without it, the last one.
COMPARED_TO = {"reconstruction": "taste", "continuation": "taslm"}


def score_rows(rows: list[Row], scorers: dict[str, list[AbsScorer]]) -> None:
    """Fill in the rows' statistics, failures and lines.

    Of two scorers that give a metric the first one's is taken.

    Args:
        rows: measured; the originals first.
        scorers: row key -> those that measured it, in order.
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
        for scorer in scorers[row.key]:
            for key, found in scorer.score(row, original).items():
                row.statistics.setdefault(key, found)


def describe(
    rows: list[Row], scorers: dict[str, list[AbsScorer]]
) -> dict[str, dict | list]:
    """Columns of both tables; scorer -> package, version, weights (all of them where
    rows differ); and what scorers warn of, as ``results.json`` has them."""
    columns: dict[str, list[Column]] = {"reconstruction": [], "continuation": []}
    names: dict[str, dict[str, None]] = {}
    for row in rows:
        for scorer in scorers[row.key]:
            columns[row.table] += scorer.shown(row.table)
            if not isinstance(scorer, AbsReader):
                names.setdefault(scorer.name, {})[scorer.identity] = None
    known = {name: "; ".join(identities) for name, identities in names.items()}
    for scorer in scorers[rows[0].key]:
        if isinstance(scorer, WordsScorer):
            known |= scorer.described(rows[0])
    judges = [judge_identity(row.folder) for row in rows if row.table == "continuation"]
    if judges := list(dict.fromkeys(filter(None, judges))):
        known["judge"] = "; ".join(judges)
    every = {scorer.warning: None for some in scorers.values() for scorer in some}
    return {
        "columns": {table: to_json(found) for table, found in columns.items()},
        "scorers": known,
        "warnings": list(filter(None, every)),
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


def readers(sources: dict[str, codes.CodeSet]) -> list[AbsScorer]:
    """Scorers of what lies beside recordings; row name -> what it is made from."""
    made_from = {name: codes.bits(found) for name, found in sources.items()}
    return [BitRate(made_from), UnitAccuracy(), BuiltInTranscript(), Judge()]


def score_everything_coded(
    taste: Path | None,
    train_taste: Path | None,
    units: Path,
    original: Row,
) -> tuple[dict, dict[str, codes.CodeSet]]:
    """The table of codes, and the sets of codes and units by name.

    Args:
        taste, train_taste: ``taste.scp`` of the test and of the training set.
        units: ``units.scp`` of the test set, which may be absent.
        original: the originals, measured.
    """
    seconds, result, found = original.seconds, {}, {}
    if taste:
        found["codes"] = codes.read_code_set(taste)
        result |= codes.score_codes(found["codes"], seconds)
        result |= codes.score_text(original.texts, seconds)
    if train_taste:
        result |= codes.score_training_codes(codes.read_code_set(train_taste))
    if units.exists():
        found["units"] = codes.read_units(units)
        result |= codes.score_units(found["units"], seconds)
    return result, found


def compared_to(table: str, rows: list[Row]) -> str:
    """Name of the row that the others of a table are compared with; "" for none."""
    names = list(dict.fromkeys(row.name for row in rows))
    if table not in COMPARED_TO or len(names) < 2:
        return ""
    usual = COMPARED_TO[table]
    return usual if usual in names else names[-1]
