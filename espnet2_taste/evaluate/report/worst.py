"""The worst utterances of every row by every metric that single utterances have."""

from dataclasses import dataclass

import numpy as np

from espnet2_taste.evaluate.columns import Column, find_column
from espnet2_taste.evaluate.score_folder import ScoreFolder
from espnet2_taste.evaluate.statistics import Statistics

#: Metrics whose worst utterances have the most errors, not the highest rate.
_COUNTED = {"wer": "words", "cer": "characters"}
_NO_FAULT = {"bitrate"}  # metrics that say nothing bad of an utterance


@dataclass(frozen=True)
class WorstList:
    """The worst utterances of a row, of its first seed.

    Attributes:
        table: of the row. row: its name. key: with the seed.
        column: the metric.
        items: (utterance, its value as text), the worst first.
    """

    table: str
    row: str
    key: str
    column: Column
    items: list[tuple[str, str]]

    @property
    def anchor(self) -> str:
        """Identifier within the page."""
        return f"worst-{self.table}-{self.row}-{self.column.key}"


def first_seeds(folders: dict[str, str]) -> dict[str, str]:
    """Row keys (``name`` or ``name:seed``) -> one folder per name, order kept."""
    names: set[str] = set()
    first = {}
    for key, folder in folders.items():
        name = key.partition(":")[0]
        if name not in names:
            names.add(name)
            first[key] = folder
    return first


def worst_lists(scores: ScoreFolder, count: int) -> list[WorstList]:
    """Lists of at most ``count`` utterances, for the rows that have audio.

    Those by other metrics than WER are half as long: audio makes a page large.
    A correlation is none of a single utterance; an utterance as good as the best is
    not among the worst. Ties: more word errors first, then by id.
    """
    heard = first_seeds(scores.results.get("folders", {}))
    lists = []
    for (table, key, metric), statistics in scores.statistics.items():
        column = find_column(table, metric)
        if key not in heard or metric in _NO_FAULT:
            continue
        if column is None or not column.better:
            continue
        errors = scores.statistics.get((table, key, "wer"))
        length = count if metric == "wer" else (count + 1) // 2
        items = _worst(column, statistics, errors, length)
        if items:
            row = key.partition(":")[0]
            lists.append(WorstList(table, row, key, column, items))
    return lists


def _worst(
    column: Column, statistics: Statistics, errors: Statistics | None, count: int
) -> list[tuple[str, str]]:
    if statistics.kind == "pearson" or len(statistics.ids) < 2:
        return []
    values = statistics.values()
    bad = values if column.better == "lower" else -values
    if column.key in _COUNTED:
        bad = statistics.sums[:, 0]
    known = {}
    if errors is not None:
        known = dict(zip(errors.ids, errors.sums[:, 0], strict=True))
    best = np.nanmin(bad, initial=np.inf)
    order = sorted(
        (i for i in range(len(bad)) if bad[i] > best),
        key=lambda i: (
            -bad[i],
            -known.get(statistics.ids[i], 0.0),
            statistics.ids[i],
        ),
    )
    return [
        (statistics.ids[i], _text(column, values[i], statistics.sums[i]))
        for i in order[:count]
    ]


def _text(column: Column, value: float, sums: np.ndarray) -> str:
    """ "4 errors in 7 words", "2.31 semitones"."""
    if column.key in _COUNTED:
        errors = f"{sums[0]:.0f} error{'' if sums[0] == 1 else 's'}"
        return f"{errors} in {sums[1]:.0f} {_COUNTED[column.key]}"
    return f"{value:.{column.digits}f} {column.unit}".rstrip()


def wrong_answers(scores: ScoreFolder, count: int) -> list[list[str]]:
    """Header, and up to ``count`` questions of each QA set that were not answered."""
    lines = [["Set", "Question", "Answers", "Said"]]
    for (table, key, metric), statistics in scores.statistics.items():
        if (table, metric) != ("qa", "accuracy"):
            continue
        wrong = np.flatnonzero(statistics.values() == 0)[:count]
        for utt in (statistics.ids[i] for i in wrong):
            line = scores.utterances.get(key, {}).get(utt, {})
            texts = [line.get("text", ""), line.get("recognised", "")]
            lines.append([key, utt, *texts])
    return lines if len(lines) > 1 else []
