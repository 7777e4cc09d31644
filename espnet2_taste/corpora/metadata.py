"""Tables of recordings: metadata.csv and its kin, with a header or LJSpeech's lines."""

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path

from espnet2_taste.corpora.abs_corpus import (
    AUDIO_ENDINGS,
    NO_AUDIO,
    NO_TEXT,
    AbsCorpus,
    Utterance,
)

ENDINGS = (".csv", ".tsv", ".jsonl")
FILES = "file_name audio file path wav audio_file audio_filepath id".split()
TEXTS = "text transcription transcript sentence normalized_text".split()
SPEAKERS = "speaker_id speaker speaker_name client_id".split()
#: Beside a table, where its recordings may lie.
FOLDERS = ("wavs", "wav", "audio", "clips")
#: Of columns; a table of any ending may have any of them.
SEPARATORS = "\t,|;"
#: Characters of a row; in a longer one a quotation mark is not closed.
LONGEST = 10_000


class MetadataTable:
    """The utterances of a table; what is wrong with rows, ``corpus`` counts.

    Args:
        corpus: reads the table.
        path: of the table; recordings are named from its folder, or from one of
            ``FOLDERS`` in it, with or without ending.

    Attributes:
        named: recordings of the rows read so far, with normal paths.
    """

    def __init__(self, corpus: AbsCorpus, path: Path):
        self.corpus, self.path, self.skip = corpus, path, corpus.skip
        self.named: set[str] = set()

    def __iter__(self) -> Iterator[Utterance]:
        folder = self.path.parent
        for number, row in enumerate(self.rows(), 1):
            file, text, speaker = (_first(row, n) for n in (FILES, TEXTS, SPEAKERS))
            audio = self.locate(file)
            if audio is not None:
                self.named.add(os.path.normpath(audio))
            if audio is None:
                self.skip(NO_AUDIO, file or f"{self.path.name}: row {number}")
            elif not text.strip() and not self.corpus.text_optional:
                self.skip(NO_TEXT, file)
            elif self.corpus.good_audio(audio):
                name = os.path.splitext(file)[0] if audio.suffix in file else file
                speaker = speaker or first_folder(audio, folder)
                yield Utterance(name, str(audio), text, speaker)

    def rows(self) -> Iterator[dict[str, str]]:
        """Column -> value, of each row that can be read."""
        lines, name = self.corpus.read_lines(self.path), self.path.name
        if self.path.suffix == ".jsonl":
            for number, line in enumerate(lines, 1):
                try:
                    row = dict(json.loads(line))
                except (TypeError, ValueError):
                    self.skip("damaged json", f"{name}:{number}")
                    continue
                yield {str(k).lower(): str(v) for k, v in row.items() if v is not None}
            return
        columns, separator = _header(lines[0]) if lines else ([], "")
        if columns:
            for fields in self.records(lines[1:], columns, separator):
                yield dict(zip(columns, fields, strict=False))
            return
        separator = "\t" if self.path.suffix == ".tsv" else ","
        bar = "|" if lines and "|" in lines[0] else separator
        for line in lines:  # LJSpeech's: no header, no quotation marks
            fields = line.split(bar) if bar == "|" else line.split(bar, 1)
            if len(fields) < 2:
                self.skip(f"line of {name} without text", line[:40])
                continue
            text = fields[2] if len(fields) > 2 and fields[2].strip() else fields[1]
            yield {"file_name": fields[0].strip(), "text": text}

    def records(
        self, lines: list[str], columns: list[str], separator: str
    ) -> Iterator[list[str]]:
        """Fields of the rows below a header.

        Fields in quotation marks may have line breaks, but a mark that nothing closes
        costs its own row alone: the next line that names a recording is a row.
        """
        file = min((c for c in columns if c in FILES), key=FILES.index)
        place, row, table = columns.index(file), "", self.path.name

        def unclosed() -> None:
            self.skip(f"misplaced quotation mark in {table}", row[:40])

        for line in lines:
            if row:  # a mark is open
                named = "".join(line.split(separator)[place : place + 1]).strip(' "')
                if len(row) > LONGEST or self.locate(named):
                    unclosed()
                    row = ""
            row = f"{row} {line}" if row else line
            fields = _fields(row, separator, len(columns))
            if fields is None:
                continue
            if any(fields[len(columns) :]):
                self.skip(f"row of {table} longer than its header", row[:40])
            else:
                yield fields
            row = ""
        if row:
            unclosed()

    def locate(self, file: str) -> Path | None:
        """The recording that a row names, with or without ending."""
        for place in ("", *FOLDERS):
            for ending in ("", *AUDIO_ENDINGS):
                path = self.path.parent / place / f"{file}{ending}"
                if file and path.is_file():
                    return path
        return None


def first_folder(path: Path, root: Path) -> str:
    """The first folder on the way from ``root`` to a recording; "": it lies there."""
    folders = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()
    return next((folder for folder in folders if folder not in FOLDERS), "")


def _header(line: str) -> tuple[list[str], str]:
    """Columns that a line names, and what separates them; [], "": it is no header."""
    for separator in SEPARATORS:
        fields = next(csv.reader([line], delimiter=separator), [])
        columns = [field.strip().lower() for field in fields]
        if set(columns) & set(FILES) and set(columns) & set(TEXTS):
            return columns, separator
    return [], ""


def _fields(row: str, separator: str, count: int) -> list[str] | None:
    """The fields of a row; None: a quotation mark is open at its end."""
    quoting = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    try:
        form = {"delimiter": separator, "quoting": quoting, "strict": True}
        return next(csv.reader([row], **form))
    except csv.Error:  # or the marks are the text's own: "Yes," he said
        fields = row.split(separator)
        return fields if len(fields) == count and row.count('"') % 2 == 0 else None


def _first(row: dict[str, str], names: list[str]) -> str:
    """The first of some columns that has a value; "": none."""
    return next((str(row[name]).strip() for name in names if row.get(name)), "")
