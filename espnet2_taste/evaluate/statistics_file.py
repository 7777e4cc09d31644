"""All statistics of a scoring in one file: what intervals and comparisons read."""

import json
import zipfile
from pathlib import Path

import numpy as np

from espnet2_taste.evaluate.statistics import KINDS, Statistics
from espnet2_taste.io.atomic import replacing

#: (table, row key ``name`` or ``name:seed``, metric key)
Key = tuple[str, str, str]
_INDEX = "index"


def write_statistics(path: str | Path, statistics: dict[Key, Statistics]) -> None:
    """Write ``.npz`` by rename: arrays only, readable without pickle.

    ``index`` is a JSON list of [table, row, metric, kind, number of its id list];
    ``sums_<i>`` are the (N, K) sums of entry i and ``ids_<j>`` the id lists, each
    stored once.
    """
    id_lists: dict[tuple[str, ...], int] = {}
    index, arrays = [], {}
    for number, (key, entry) in enumerate(statistics.items()):
        ids = id_lists.setdefault(tuple(entry.ids), len(id_lists))
        index.append([*key, entry.kind, ids])
        arrays[f"sums_{number}"] = entry.sums
    for ids, number in id_lists.items():
        arrays[f"ids_{number}"] = np.array(ids, dtype=np.str_)
    arrays[_INDEX] = np.array(json.dumps(index))
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def read_statistics(path: str | Path) -> dict[Key, Statistics]:
    """What :func:`write_statistics` wrote, order kept.

    Raises:
        FileNotFoundError: no such file; run ``bin.score``.
        ValueError: it is no such file, or damaged.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no file {path}: run espnet2_taste.bin.score first")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            index = json.loads(str(arrays[_INDEX]))
            lists = {}
            for *_, number in index:
                if number not in lists:
                    lists[number] = [str(utt) for utt in arrays[f"ids_{number}"]]
            return {
                (table, row, metric): Statistics(
                    _known(kind), lists[ids], arrays[f"sums_{number}"]
                )
                for number, (table, row, metric, kind, ids) in enumerate(index)
            }
    except (KeyError, ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} holds no statistics ({error})") from None


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind}")
    return kind
