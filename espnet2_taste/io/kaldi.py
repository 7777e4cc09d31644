"""Kaldi tables (``key value`` lines) and arks; nothing is left half written."""

import os
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path

import kaldiio
import numpy as np
import soundfile

from espnet2_taste.io.atomic import replacing
from espnet2_taste.io.datadir import read_lines
from espnet2_taste.io.datadir import write_table as write_table


def read_table(path: str | Path) -> dict[str, str]:
    """Read ``key value`` lines (wav.scp, text, utt2spk, ...), order kept.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a key without value or twice; the message names file and key.
    """
    table = read_lines(Path(path))
    for key, value in table.items():
        if not value:
            raise ValueError(f"{path}: {key} has no value")
    return table


def select_keys(table: dict[str, str], key_file: str | Path | None) -> dict[str, str]:
    """Keep the keys listed first on each line of ``key_file`` (None: all).

    Raises:
        ValueError: a listed key is not in the table.
    """
    if key_file is None:
        return table
    keys = [
        line.split()[0] for line in open(key_file, encoding="utf-8") if line.split()
    ]
    missing = [key for key in keys if key not in table]
    if missing:
        raise ValueError(
            f"{key_file}: {missing[0]} and {len(missing) - 1} more are "
            "not in the data directory: run stage 2 again"
        )
    return {key: table[key] for key in keys}


def check_keys(path: str | Path, table: Container[str], wanted: Iterable[str]) -> None:
    """Refuse a table without one of the ``wanted`` keys.

    Raises:
        ValueError: names the file, the first missing key and how many are.
    """
    wanted = list(wanted)
    missing = [key for key in wanted if key not in table]
    if missing:
        raise ValueError(
            f"{path}: {missing[0]} is missing ({len(missing)} of {len(wanted)})"
        )


def read_arks(path: str | Path, wanted: Iterable[str]) -> Mapping[str, np.ndarray]:
    """``*.scp`` -> its arrays, read when asked for.

    Raises:
        FileNotFoundError: no such file.
        ValueError: see :func:`check_keys`.
    """
    arks = kaldiio.load_scp(str(path))
    check_keys(path, arks, wanted)
    return arks


def first_array(path: str | Path) -> np.ndarray:
    """The first array of a ``*.scp``, by which the others are judged.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an empty one.
    """
    arks = kaldiio.load_scp(str(path))
    for key in arks:
        return arks[key]
    raise ValueError(f"{path} is empty")


def read_codes(
    path: str | Path, num_codebooks: int, wanted: Iterable[str] = ()
) -> dict[str, np.ndarray]:
    """taste.scp -> utterance -> (S, R) int64.

    Args:
        path: of the table.
        num_codebooks: R.
        wanted: utterances that must be among them.

    Raises:
        ValueError: an utterance is missing, or its codes are not whole rows; the
            message names it.
    """
    codes = {}
    for name, flat in kaldiio.load_scp(str(path)).items():
        if flat.ndim != 1 or flat.size % num_codebooks:
            raise ValueError(
                f"{path}: {name} has {flat.size} values, no multiple of "
                f"{num_codebooks} codebooks"
            )
        codes[name] = flat.astype(np.int64).reshape(-1, num_codebooks)
    check_keys(path, codes, wanted)
    return codes


def write_wav(path: str | Path, wav: np.ndarray, sample_rate: int) -> None:
    """Write (N,) samples in [-1, 1] as 16-bit wav or flac, by rename; parents are made.

    The format is the file name's ending.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        soundfile.write(temporary, wav, sample_rate, "PCM_16", format=path.suffix[1:])


class ArkWriter:
    """Collects arrays into ``<name>.ark``; ``<name>.scp`` appears when all is written.

    Args:
        output_dir: made if absent.
        name: of the files, e.g. ``units``.
    """

    def __init__(self, output_dir: str | Path, name: str):
        self.output_dir = Path(output_dir)
        self.output_dir.mkdir(parents=True, exist_ok=True)
        self.ark = self.output_dir / f"{name}.ark"
        self.scp = self.output_dir / f"{name}.scp"

    def __enter__(self) -> "ArkWriter":
        self.scp.unlink(missing_ok=True)
        self._writer = kaldiio.WriteHelper(f"ark,scp:{self.ark},{self.scp}.tmp")
        return self

    def __setitem__(self, key: str, array: np.ndarray) -> None:
        """Add one array (int32 must be 1-D; ESPnet's restriction)."""
        self._writer[key] = array

    def __exit__(self, exc_type, error, _) -> None:
        temporary = Path(f"{self.scp}.tmp")
        try:
            self._writer.close()
        except OSError as late:
            error = error or late
        if error is None:
            os.replace(temporary, self.scp)
            return
        temporary.unlink(missing_ok=True)
        self.ark.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(
                f"{self.ark}: cannot be written ({error.strerror}): free space, "
                "run again"
            ) from None


def length_batches(lengths: dict[str, int], batch_size: int) -> Iterator[list[str]]:
    """Yield batches of keys of similar length, longest first (memory fails early)."""
    keys = sorted(lengths, key=lambda key: (-lengths[key], key))
    for start in range(0, len(keys), batch_size):
        yield keys[start : start + batch_size]
