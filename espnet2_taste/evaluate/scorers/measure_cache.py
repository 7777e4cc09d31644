"""What was measured, kept beside what it depends on."""

import json
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from espnet2_taste.evaluate.undefined import without_nan
from espnet2_taste.io.atomic import write_text
from espnet2_taste.io.file_names import file_name

SHARDS = "output.*"


class MeasureCache:
    """JSON lines ``<folder>/<instrument>/<row>.jsonl``: ``{"utt", "key", ...}``.

    Lines are appended as results come, so a killed run loses nothing but its last
    line; shards (``bin.measure``) write beside each other and are read together.

    Args:
        folder: to write in.
        others: folders to read besides, and their shards.
    """

    def __init__(self, folder: Path, others: Iterable[Path] = ()):
        self.folder = Path(folder)
        self.sources = [self.folder, *map(Path, others)]

    def read(self, instrument: str, row: str) -> dict[str, dict]:
        """key -> what was measured, of the folders and their shards."""
        return {line["key"]: _numbers(line) for line in self._lines(instrument, row)}

    def read_utterances(self, instrument: str, row: str) -> dict[str, dict]:
        """utt -> what was measured."""
        return {line["utt"]: _numbers(line) for line in self._lines(instrument, row)}

    def _lines(self, instrument: str, row: str) -> Iterator[dict]:
        for source in self.sources:
            for folder in (*sorted(source.glob(SHARDS)), source):
                yield from read_entries(folder / instrument / _file_name(row))

    def append(self, instrument: str, row: str, entries: list[dict]) -> None:
        """Add entries, each with its ``key``."""
        path = self.folder / instrument / _file_name(row)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(path, "a+", encoding="utf-8") as file:
                # A line that a killed run left unfinished must not swallow the next.
                if file.tell() and not _ends_with_newline(path):
                    file.write("\n")
                file.writelines(map(_line, entries))
        except OSError as error:  # a full disk: Python does not say where
            error.filename = str(path)
            raise

    def replace(self, instrument: str, row: str, entries: list[dict]) -> None:
        """Write these entries only, by rename."""
        path = self.folder / instrument / _file_name(row)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, "".join(map(_line, entries)))


def read_entries(path: Path) -> list[dict]:
    """Entries of a file, [] if there is none; damaged lines are left out and logged."""
    if not path.exists():
        return []
    entries, damaged = [], 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            entry["key"], entry["utt"]  # noqa: B018
        except (ValueError, KeyError, TypeError):
            damaged += bool(line.strip())
        else:
            entries.append(entry)
    if damaged:
        logging.warning("%s: %d damaged lines are measured again", path, damaged)
    return entries


def _numbers(line: dict) -> dict:
    return {name: value for name, value in line.items() if name not in ("key", "utt")}


def _file_name(row: str) -> str:
    """Row keys may hold a ``:`` before the seed, which is awkward in file names."""
    return file_name(row.replace(":", "_seed"), ".jsonl")


def _ends_with_newline(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _line(entry: dict) -> str:
    return json.dumps(without_nan(entry), allow_nan=False) + "\n"
