"""Long tables, line by line in the order of their ids, in bounded memory.

Kaldi's tables are sorted by id as LC_ALL=C sorts. What is sorted is read as it is; what
is not is sorted in parts, which wait in temporary files.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from espnet2_taste.io.atomic import replacing
from espnet2_taste.io.sorting import sorted_lines
from espnet2_taste.io.tables import read_entries, read_lines, split_fields, twice

_FIRST = itemgetter(0)


def first_unsorted(path: str | Path, field: int = 0) -> tuple[int, str] | None:
    """Number and key of the first line that should stand before the one above it.

    Args:
        path: of a file of lines.
        field: which of a line's fields is its key.
    """
    last = b""
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            fields = line.split(None, field + 1)
            if len(fields) > field:
                if fields[field] < last:
                    return number, fields[field].decode(errors="replace")
                last = fields[field]
    return None


def read_sorted(path: str | Path, field: int = 0) -> Iterator[tuple[str, int, str]]:
    """Yield key, number and text of a file's lines by key, equal ones in their order.

    Args:
        path, field: see :func:`first_unsorted`.

    Raises:
        FileNotFoundError, ValueError: see
            :func:`~espnet2_taste.io.tables.read_lines`; or a line without that field.
    """
    found = _keyed(path, field)
    if not Path(path).is_file() or first_unsorted(path, field) is None:
        yield from found
        return
    joined = (f"{key}\0{number:012d}\0{line}" for key, number, line in found)
    for each in sorted_lines(joined):
        key, number, line = each.split("\0")  # which read_lines refuses
        yield key, int(number), line


def _keyed(path: str | Path, field: int) -> Iterator[tuple[str, int, str]]:
    for number, line in read_lines(path):
        fields = split_fields(line, field + 2)
        if len(fields) <= field:
            raise ValueError(f"{path}:{number}: '{line}' has no field {field + 1}")
        yield fields[field], number, line


def sorted_entries(
    path: str | Path,
    allow_empty: bool = False,
    cure: str = "",
    parse: Callable[[str], Any] = str,
) -> Iterator[tuple[str, Any]]:
    """Yield (id, value) of a table by id.

    Args:
        path: of the table.
        allow_empty: a value may be empty.
        cure: for a table that is not sorted, which is refused then; "": it is sorted.
        parse: makes something else of a value; its ValueError says what is expected.

    Raises:
        FileNotFoundError, ValueError: see
            :func:`~espnet2_taste.io.tables.read_entries`; or an id appears twice, or
            ``parse`` refuses a value.
    """
    last = ""
    if cure or not Path(path).is_file() or first_unsorted(path) is None:
        lines = read_entries(path, allow_empty)
    else:
        lines = _sorted(read_entries(path, allow_empty))
    for number, key, value in lines:
        if key <= last:
            if key == last:
                raise ValueError(f"{path}:{number}: {twice(key)}")
            raise ValueError(
                f"{path} is not sorted (LC_ALL=C): line {number}, {key}, comes after "
                f"{last}; {cure}"
            )
        last = key
        try:
            made = parse(value)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {key}: {error}") from None
        yield key, made


def _sorted(entries: Iterable[tuple[int, str, str]]) -> Iterator[tuple[int, str, str]]:
    lines = (f"{key}\0{number:012d}\0{value}" for number, key, value in entries)
    for line in sorted_lines(lines):
        key, number, value = line.split("\0")
        yield int(number), key, value


def join(
    tables: Mapping[str, Iterable[tuple[str, str]]],
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each id that any of the tables has, and name -> value where one has it.

    Args:
        tables: name -> (id, value), by id, each once.
    """
    rest = {name: iter(table) for name, table in tables.items()}
    heads = {name: head for name, table in rest.items() if (head := next(table, None))}
    while heads:
        key = min(map(_FIRST, heads.values()))
        row = {}
        for name, (found, value) in list(heads.items()):
            if found != key:
                continue
            row[name] = value
            head = next(rest[name], None)
            if head is None:
                del heads[name]
            else:
                heads[name] = head
        yield key, row


def concatenated(
    parts: Mapping[str, Iterable[tuple[str, str]]], reason: str
) -> Iterator[tuple[str, str]]:
    """Yield (id, value) of several tables by id.

    Args:
        parts: name -> (id, value), by id.
        reason: what an id in two of them is, after "<name>: id <id> ".

    Raises:
        ValueError: an id in two of them.
    """
    tagged = [_tagged(name, part) for name, part in parts.items()]
    last = None
    for key, name, value in merge(*tagged, key=_FIRST):
        if key == last:
            raise ValueError(f"{name}: id {key} {reason}")
        last = key
        yield key, value


def _tagged(name: str, part: Iterable[tuple[str, str]]) -> Iterator[tuple]:
    for key, value in part:
        yield key, name, value


def grouped(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """(value, key) of any order -> value and its keys, both sorted.

    As utt2spk (id, speaker) becomes spk2utt.
    """
    lines = sorted_lines(f"{value}\0{key}" for key, value in pairs)
    split = (line.split("\0") for line in lines)
    for value, found in groupby(split, key=_FIRST):
        yield value, [key for _, key in found]


def selected(items: Iterable[tuple], keys: Iterable[str]) -> Iterator[tuple]:
    """Those of ``items``, by their first element, that is among ``keys``, by key."""
    wanted = iter(keys)
    key = next(wanted, None)
    for item in items:
        while key is not None and key < item[0]:
            key = next(wanted, None)
        if key is None:
            return
        if key == item[0]:
            yield item


class TableFiles(ExitStack):
    """Tables that are written together, line by line, and appear when all are whole.

    Args:
        folder: made if absent.
        names: of the tables.
    """

    def __init__(self, folder: Path, names: Iterable[str]):
        super().__init__()
        self.folder, self.names = folder, tuple(names)

    def __enter__(self) -> "TableFiles":
        super().__enter__()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._files = {}
        for name in self.names:
            temporary = self.enter_context(replacing(self.folder / name))
            file = open(temporary, "w", encoding="utf-8", newline="\n")
            self._files[name] = self.enter_context(file)
        return self

    def write(self, key: str, row: Mapping[str, str]) -> None:
        """Add the values of an id to the tables that they are named for."""
        for name, value in row.items():
            self._files[name].write(f"{key} {value}".rstrip(" ") + "\n")
