"""What ``bin.score`` wrote, read back by comparisons and reports."""

import json
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from espnet2_taste.evaluate.results import RESULTS, STATISTICS, UTTERANCES, Key
from espnet2_taste.evaluate.rows import row_key
from espnet2_taste.evaluate.statistics import Statistics
from espnet2_taste.evaluate.table import TABLES
from espnet2_taste.io.tables import read_records


def _made(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"no file {path}: run espnet2_taste.bin.score first")
    return path


def read_results(folder: Path) -> dict:
    """``results.json`` of a folder that ``bin.score`` wrote.

    Raises:
        FileNotFoundError, ValueError: it did not, or the file is damaged.
    """
    path = _made(folder / RESULTS)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): score again") from None


def read_statistics(path: Path) -> dict[Key, Statistics]:
    """What :func:`write_statistics` wrote, order kept.

    Raises:
        FileNotFoundError, ValueError: ``bin.score`` did not, or the file is damaged.
    """
    try:
        with np.load(_made(path), allow_pickle=False) as arrays:
            index = json.loads(str(arrays["index"]))
            lists = {i: arrays[f"ids_{i}"].tolist() for i in {e[-1] for e in index}}
            return {
                (table, row, metric): Statistics(kind, lists[ids], arrays[f"sums_{i}"])
                for i, (table, row, metric, kind, ids) in enumerate(index)
            }
    except FileNotFoundError:
        raise
    except (KeyError, ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} holds no statistics ({error})") from None


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

    @classmethod
    def find(cls, path: Path) -> "ScoreFolder":
        """Read ``path`` itself, or the one scoring inside an experiment folder.

        Raises:
            FileNotFoundError: there is none. ValueError: there are several.
        """
        if (path / RESULTS).exists():
            return cls.read(path)
        patterns = ("*", "*/*", "exp/*", "exp/*/*")  # scores of a run or of its sets
        found = {p.parent for x in patterns for p in path.glob(f"{x}/{RESULTS}")}
        if not found:
            raise FileNotFoundError(
                f"no {RESULTS} in {path} nor in a folder below: run "
                "espnet2_taste.bin.score first"
            )
        if len(found) > 1:
            names = ", ".join(map(str, sorted(found)))
            raise ValueError(f"{path} holds several scorings, name one of {names}")
        return cls.read(found.pop())

    def row_keys(self, table: str, row: str) -> list[str]:
        """Keys of a row's seeds, or of the one seed that ``name:seed`` picks."""
        keys = dict.fromkeys(key for t, key, _ in self.statistics if t == table)
        return [key for key in keys if row in (key, key.partition(":")[0])]

    def rows(self, table: str) -> list[str]:
        """Names of a table's rows, in order."""
        keys = (key for t, key, _ in self.statistics if t == table)
        return list(dict.fromkeys(key.partition(":")[0] for key in keys))

    def all_rows(self) -> list[str]:
        """Names of all tables' rows."""
        return [row for table in TABLES for row in self.rows(table)]

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
