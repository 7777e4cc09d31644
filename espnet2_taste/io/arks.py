"""Arrays in Kaldi's arks: written whole or not at all, read as data, never as code."""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import kaldiio
import numpy as np

from espnet2_taste.io.tables import check_keys, read_entries, read_table
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


def load_array(what: str, entry: str) -> np.ndarray:
    """The array of numbers in an entry; ``what`` it is, for messages.

    Raises:
        FileNotFoundError, ValueError: see :func:`load_ark_entry`; or values that are no
            numbers.
    """
    try:
        array = load_ark_entry(entry)
    except (OSError, ValueError) as error:
        raise type(error)(f"{what}: {error}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        raise ValueError(f"{what} is no array of numbers")
    check_numbers(what, array)
    return array


class Arks(Mapping[str, np.ndarray]):
    """Arrays of a ``*.scp``, each read when asked for.

    Args:
        path: of the table.
        keys: those to know of; None: all, of which each takes 0.25 kB of memory.

    Raises:
        FileNotFoundError, ValueError: see :func:`read_table`; when asked for an array,
            it cannot be read or holds values that are no numbers.
    """

    def __init__(self, path: str | Path, keys: Collection[str] | None = None):
        self.path, self.entries = path, read_table(path, keys=keys)

    def __getitem__(self, key: str) -> np.ndarray:
        return load_array(f"{self.path}: {key}", self.entries[key])

    def __contains__(self, key: object) -> bool:
        return key in self.entries  # unread

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def read_arks(path: str | Path, wanted: Collection[str] | None = None) -> Arks:
    """``*.scp`` -> its arrays; those of ``wanted`` alone, if that is given.

    Raises:
        FileNotFoundError, ValueError: see :class:`Arks` and :func:`check_keys`.
    """
    if wanted is None:
        return Arks(path)
    arks = Arks(path, set(wanted))
    check_keys(path, arks, wanted)
    return arks


def first_array(path: str | Path) -> np.ndarray:
    """The first array of a ``*.scp``, by which the others are judged.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an empty one.
    """
    for _, key, entry in read_entries(path):
        return load_array(f"{path}: {key}", entry)
    raise ValueError(f"{path} is empty")


class Codes(Arks):
    """taste.scp: utterance -> (S, R) int64; see :class:`Arks`.

    Args:
        path: of the table.
        num_codebooks: R.
        keys: see :class:`Arks`.
    """

    def __init__(
        self, path: str | Path, num_codebooks: int, keys: Collection[str] | None = None
    ):
        super().__init__(path, keys)
        self.num_codebooks = num_codebooks

    def __getitem__(self, key: str) -> np.ndarray:
        flat, books = super().__getitem__(key), self.num_codebooks
        if flat.ndim != 1 or flat.size % books:
            raise ValueError(
                f"{self.path}: {key} has {flat.size} values, no multiple of "
                f"{books} codebooks"
            )
        return as_integers(f"{self.path}: {key}", flat).reshape(-1, books)


def read_codes(
    path: str | Path, num_codebooks: int, wanted: Collection[str] | None = None
) -> dict[str, np.ndarray]:
    """taste.scp -> utterance -> (S, R) int64, in memory.

    Args:
        path: of the table.
        num_codebooks: R.
        wanted: utterances that must be among them, and are all that is read; None: all.

    Raises:
        ValueError: an utterance is missing, or its codes are not whole rows; the
            message names it.
    """
    keys = None if wanted is None else set(wanted)
    codes = Codes(path, num_codebooks, keys)
    check_keys(path, codes, wanted or ())
    return dict(codes)


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
