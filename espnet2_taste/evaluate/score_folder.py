"""What ``bin.score`` left in its output folder, read back."""

from dataclasses import dataclass, replace
from pathlib import Path

from espnet2_taste.evaluate.results import (
    RESULTS,
    STATISTICS,
    UTTERANCES,
    read_results,
)
from espnet2_taste.evaluate.scorers.rows import row_key
from espnet2_taste.evaluate.statistics import Statistics
from espnet2_taste.evaluate.statistics_file import Key, read_statistics
from espnet2_taste.io.tables import read_records


@dataclass(frozen=True)
class ScoreFolder:
    """Results of one scoring.

    Attributes:
        path: the folder.
        results: of ``results.json``.
        statistics: of ``statistics.npz``: (table, row key, metric) -> sums.
        utterances: of ``utterances.csv``: row key -> utterance -> its line, a dict.
    """

    path: Path
    results: dict
    statistics: dict[Key, Statistics]
    utterances: dict[str, dict[str, dict[str, str]]]

    @classmethod
    def read(cls, path: Path) -> "ScoreFolder":
        """Read all files.

        Raises:
            FileNotFoundError, ValueError: a file is missing, or not what it should be.
        """
        results = read_results(path)
        statistics = read_statistics(path / STATISTICS)
        utterances: dict[str, dict[str, dict[str, str]]] = {}
        for _, line in read_records(path / UTTERANCES, ("row", "seed", "utt")):
            key = row_key(line["row"], line["seed"])
            utterances.setdefault(key, {})[line["utt"]] = line
        return cls(path, results, statistics, utterances)

    def row_keys(self, table: str, row: str) -> list[str]:
        """Keys of a row's seeds, or of the one seed that ``name:seed`` picks."""
        keys = dict.fromkeys(key for t, key, _ in self.statistics if t == table)
        return [key for key in keys if row in (key, key.partition(":")[0])]

    def rows(self, table: str) -> list[str]:
        """Names of a table's rows, in order."""
        keys = (key for t, key, _ in self.statistics if t == table)
        return list(dict.fromkeys(key.partition(":")[0] for key in keys))

    def seeds(self, table: str, row: str, metric: str) -> list[Statistics]:
        """Statistics of a metric for each seed of a row; [] if one lacks it."""
        keys = [(table, key, metric) for key in self.row_keys(table, row)]
        if not all(key in self.statistics for key in keys):
            return []
        return [self.statistics[key] for key in keys]


def average(trainings: list[ScoreFolder]) -> ScoreFolder:
    """One scoring that averages several trainings of a system as it does seeds."""
    statistics = {}
    for number, scores in enumerate(trainings, start=1):
        for (table, key, metric), value in scores.statistics.items():
            row, _, seed = key.partition(":")
            statistics[table, f"{row}:{number}/{seed}", metric] = value
    return replace(trainings[0], statistics=statistics)


def find_scores(path: Path) -> Path:
    """A scores folder: ``path`` itself, or the one inside an experiment folder.

    Raises:
        FileNotFoundError: there is none. ValueError: there are several.
    """
    if (path / RESULTS).exists():
        return path
    patterns = ("*", "*/*", "exp/*", "exp/*/*")  # scores of a run or of its test sets
    found = sorted({p.parent for x in patterns for p in path.glob(f"{x}/{RESULTS}")})
    if not found:
        raise FileNotFoundError(
            f"no {RESULTS} in {path} nor in a folder below: run "
            "espnet2_taste.bin.score first"
        )
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise ValueError(f"{path} holds several scorings, name one of {names}")
    return found[0]
