"""Arrays in Kaldi's arks: written whole or not at all, read as data, never as code."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import kaldiio
import numpy as np

from espnet2_taste.io.tables import check_keys, read_table
from espnet2_taste.io.values import as_integers, check_numbers

_ENTRY = re.compile(r"(?P<file>.+?)(:(?P<offset>\d+))?(\[[\d:, ]*\])?", re.DOTALL)


def load_ark_entry(entry: str):
    """What kaldiio reads in ``some.ark:offset`` or a file: array, or (rate, array).

    Raises:
        FileNotFoundError: no such file.
        ValueError: a command, a pickle, or nothing that can be read.
    """
    if entry == "-" or "|" in (entry[:1], entry[-1:]):
        raise ValueError(f"{entry}: a command where only files may be")
    match = _ENTRY.fullmatch(entry)
    try:
        with open(match["file"], "rb") as ark:
            ark.seek(int(match["offset"] or 0))
            if ark.read(3) == b"PKL":
                raise ValueError("a pickle, which could run any code")
        return kaldiio.load_mat(entry)
    except FileNotFoundError:
        raise FileNotFoundError(f"no file {match['file']}") from None
    except Exception as error:  # whatever kaldiio stumbles over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{entry} cannot be read ({reason})") from None


class Arks(Mapping[str, np.ndarray]):
    """Arrays of a ``*.scp``, each read when asked for.

    Args:
        path: of the table.

    Raises:
        FileNotFoundError, ValueError: see :func:`read_table`; when asked for an array,
            it cannot be read or holds values that are no numbers.
    """

    def __init__(self, path: str | Path):
        self.path, self.entries = path, read_table(path)

    def __getitem__(self, key: str) -> np.ndarray:
        try:
            array = load_ark_entry(self.entries[key])
        except (OSError, ValueError) as error:
            raise type(error)(f"{self.path}: {key}: {error}") from None
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
            raise ValueError(f"{self.path}: {key} is no array of numbers")
        check_numbers(f"{self.path}: {key}", array)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def read_arks(path: str | Path, wanted: Iterable[str] = ()) -> Arks:
    """``*.scp`` -> its arrays, among which are those of ``wanted``.

    Raises:
        FileNotFoundError, ValueError: see :class:`Arks` and :func:`check_keys`.
    """
    arks = Arks(path)
    check_keys(path, arks, wanted)
    return arks


def first_array(path: str | Path) -> np.ndarray:
    """The first array of a ``*.scp``, by which the others are judged.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an empty one.
    """
    for array in Arks(path).values():
        return array
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
    for name, flat in read_arks(path, wanted).items():
        if flat.ndim != 1 or flat.size % num_codebooks:
            raise ValueError(
                f"{path}: {name} has {flat.size} values, no multiple of "
                f"{num_codebooks} codebooks"
            )
        flat = as_integers(f"{path}: {name}", flat)
        codes[name] = flat.reshape(-1, num_codebooks)
    return codes


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
