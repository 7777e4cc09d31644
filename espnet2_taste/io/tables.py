"""Tables of lines, as Kaldi has them: what a line, a field and an id are, for all.

Lines end in ``\\n`` or ``\\r\\n``; spaces and tabs separate fields. All other white
space (U+00A0, U+0085, U+2028 ...) is part of a field. Files are UTF-8; a byte order
mark and blank lines mean nothing. Errors name the file and the line.
"""

import codecs
import csv
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from espnet2_taste.io.atomic import write_lines

_BLANKS = " \t\v\f\r"
_BLANK = re.compile(f"[{_BLANKS}]+")
_BOM = "\ufeff"
_BLOCK = 2**20  # bytes that are looked through at once for what lines should not have


def read_text(path: str | Path) -> str:
    """The text of a file, without byte order mark.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is not UTF-8.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"no file {path}") from None
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if utf16 or b"\0" in data:
        raise ValueError(f"{path}: not UTF-8 (UTF-16?): iconv -f UTF-16 -t UTF-8")
    try:
        return data.decode().removeprefix(_BOM)
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}:{number}: not UTF-8 ({error.reason})") from None


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of the lines that are not blank, blanks around it removed.

    Raises:
        FileNotFoundError, ValueError: see :func:`read_text`, when the line is reached;
            or a line has a carriage return in it, where ESPnet would end it.
    """
    for number, data in _numbered(path):
        yield number, _decoded(path, number, data)


def _numbered(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, without what stands around them; see above.

    Of bytes, Python knows no other white space than we do.
    """
    number = 0
    with _open(path) as file:
        while lines := file.readlines(_BLOCK):
            block = b"".join(lines)
            odd = any(mark in block for mark in (b"\0", b"\r", codecs.BOM_UTF8))
            for data in lines:
                number += 1
                data = _checked(path, number, data) if odd else data.strip()
                if data:
                    yield number, data


def _checked(path: str | Path, number: int, data: bytes) -> bytes:
    if b"\0" in data:
        read_text(path)  # raises
    data = data.removeprefix(codecs.BOM_UTF8).strip()  # of files joined here
    if b"\r" in data:
        raise ValueError(f"{path}:{number}: a carriage return within the line")
    return data


def _decoded(path: str | Path, number: int, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        read_text(path)  # raises, unless the file was changed meanwhile
        raise ValueError(f"{path}:{number}: not UTF-8 ({error.reason})") from None


def _open(path: str | Path) -> BinaryIO:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise FileNotFoundError(f"no file {path}") from None


def split_fields(line: str, most: int = 0) -> list[str]:
    """The fields of a line of :func:`read_lines`; the last of ``most`` is the rest."""
    return _BLANK.split(line, most - 1 if most else 0)


def read_entries(
    path: str | Path, allow_empty: bool = False, keys: Iterable[str] | None = None
) -> Iterator[tuple[int, str, str]]:
    """Yield line number, id and value of a table's lines, one after the other.

    Args:
        path: of the table.
        allow_empty: a value may be empty.
        keys: ids wanted, other lines are passed over unread; None: all.

    Raises:
        FileNotFoundError, ValueError: see :func:`read_lines`; or an id without value.
    """
    wanted = None if keys is None else {key.encode() for key in keys}
    for number, data in _numbered(path):
        fields = data.split(None, 1)
        if wanted is not None and fields[0] not in wanted:
            continue
        key = _decoded(path, number, fields[0])
        value = _decoded(path, number, fields[1]) if fields[1:] else ""
        if not value and not allow_empty:
            raise ValueError(f"{path}:{number}: {key} has no value")
        yield number, key, value


def first_value(path: str | Path) -> str:
    """The value in the first line of a table.

    Raises:
        FileNotFoundError, ValueError: see :func:`read_entries`; or an empty table.
    """
    for _, _, value in read_entries(path):
        return value
    raise ValueError(f"{path} is empty")


def read_table(
    path: str | Path,
    allow_empty: bool = False,
    parse: Callable[[str], Any] = str,
    keys: Iterable[str] | None = None,
) -> dict[str, Any]:
    """Read ``id value`` lines (wav.scp, text, utt2spk, ...), order kept.

    All of it is in memory: about 0.5 GB for 2 million lines. What goes through long
    tables takes ``keys``, or :mod:`~espnet2_taste.io.sorted_tables`.

    Args:
        path: of the table.
        allow_empty: a value may be empty.
        parse: makes something else of a value; its ValueError says what is expected.
        keys: ids to keep; None: all.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an id without value or twice, a value that ``parse`` refuses, or see
            :func:`read_lines`.
    """
    table: dict[str, Any] = {}
    for number, key, value in read_entries(path, allow_empty, keys):
        if key in table:
            raise ValueError(f"{path}:{number}: {twice(key)}")
        try:
            table[key] = parse(value)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {key}: {error}") from None
    return table


def twice(key: str) -> str:
    """What is wrong with a table that has an id in two lines."""
    return f"id {key} appears twice; ids are unique"


def parse_count(text: str) -> int:
    """A whole number, 0 or more, for :func:`read_table`."""
    if not text.isdecimal():
        raise ValueError(f"expected a whole number, not '{text}'")
    return int(text)


def parse_seconds(text: str) -> float:
    """A length in seconds, for :func:`read_table`."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < math.inf:
        raise ValueError(f"expected seconds, not '{text}'")
    return seconds


def write_table(path: str | Path, entries: dict[str, str]) -> None:
    """Write a table sorted by id (code points sort as LC_ALL=C sorts UTF-8)."""
    write_lines(path, (f"{key} {entries[key]}".rstrip(" ") for key in sorted(entries)))


def read_records(
    path: str | Path, wanted: Iterable[str] = (), **form
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and columns of a table with a header (csv, tsv).

    Args:
        path: of the table.
        wanted: columns that it must have.
        form: options of ``csv.reader``; none: comma-separated.

    Raises:
        FileNotFoundError, ValueError: see :func:`read_text`; or a column is missing, or
            a line is not of that form or longer than the header.
    """
    with _open(path):
        pass  # or it says that there is none
    reader = csv.DictReader(_text_lines(path), restval="", **form)
    try:
        absent = [name for name in wanted if name not in (reader.fieldnames or ())]
        if absent:
            raise csv.Error(f"no column {absent[0]}")
        for record in reader:
            if None in record:
                raise csv.Error("more fields than the header has")
            columns = {name: value.strip() for name, value in record.items()}
            yield reader.line_num, columns
    except csv.Error as error:
        raise ValueError(f"{path}:{reader.line_num}: {error}") from None


def _text_lines(path: str | Path) -> Iterator[str]:
    """Lines with their ends; see :func:`read_text` for what is refused."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as lines:
            for line in lines:
                if "\0" in line:
                    read_text(path)
                yield line
    except UnicodeDecodeError:
        read_text(path)
        raise


def read_json_lines(path: str | Path) -> Iterator[tuple[int, dict]]:
    """Yield line number and content of a JSON object a line.

    Raises:
        FileNotFoundError, ValueError: see :func:`read_lines`; or a line is none.
    """
    for number, line in read_lines(path):
        try:
            content = json.loads(line)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise ValueError(f"{path}:{number}: no JSON object")
        yield number, content


def read_keys(path: str | Path) -> list[str]:
    """The ids, first on each line, of a file."""
    return [split_fields(line, 2)[0] for _, line in read_lines(path)]


def read_selected(path: str | Path, key_file: str | Path | None) -> dict[str, str]:
    """A table's lines for the ids of ``key_file``, in its order (None: all lines).

    Raises:
        FileNotFoundError, ValueError: see :func:`read_table`; or a listed id is not in
            the table.
    """
    if key_file is None:
        return read_table(path)
    keys = read_keys(key_file)
    table = read_table(path, keys=keys)
    missing = [key for key in keys if key not in table]
    if missing:
        raise ValueError(
            f"{key_file}: {missing[0]} and {len(missing) - 1} more are "
            "not in the data directory: run stage 2 again"
        )
    return {key: table[key] for key in keys}


def check_keys(path: str | Path, table: Collection, wanted: Iterable[str]) -> None:
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
