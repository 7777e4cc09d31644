"""One's own recordings: with a table, with a text file each, or a Kaldi directory."""

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
from espnet2_taste.corpora.splits import DEV, TEST, TRAIN, by_digest, check_parts
from espnet2_taste.corpora.store import Store
from espnet2_taste.io.segments import Segment
from espnet2_taste.io.tables import read_table

TABLES = ("metadata.csv", "metadata.tsv", "metadata.jsonl")
FILES = "file_name audio file path wav audio_file audio_filepath id".split()
TEXTS = "text transcription transcript sentence normalized_text".split()
SPEAKERS = "speaker_id speaker speaker_name client_id".split()
#: Of columns; a table of any ending may have any of them.
SEPARATORS = "\t,|;"
#: Characters of a row; in a longer one a quotation mark is not closed.
LONGEST = 10_000
#: Beside a recording: the first that is there.
TEXT_ENDINGS = (".normalized.txt", ".txt", ".lab")
#: Audio that libsndfile does not read.
OTHER_ENDINGS = (".m4a", ".aac", ".wma", ".mp4", ".webm", ".amr")


class Folder(AbsCorpus):
    """What lies in the folder is seen:

    * ``wav.scp`` and ``text`` [``utt2spk``, ``segments``, ``utt2dur``]: a Kaldi
      directory;
    * ``metadata.csv|tsv|jsonl``: with a header (``file_name, text [, speaker_id]``,
      between tabs, commas, ``|`` or ``;``), or LJSpeech's ``id|text[|normalised text]``
      lines;
    * ``x.wav`` (or flac, mp3, ogg ...) with ``x.txt``, ``x.lab`` or
      ``x.normalized.txt``, in any folders.

    The speaker is the table's, else the first folder on the way to the recording, else
    the recording. Parts: folders ``train``, ``dev`` and ``test``, if there are; else a
    digest of the id (or of the speaker) decides, which stays when recordings are added.

    Args:
        dev, test: shares of the parts.
        split: ``utterance`` or ``speaker``: what is not divided.
    """

    files = "wav.scp and text, metadata.{csv,tsv,jsonl}, or x.wav with x.txt"
    parts = "train, dev, test, or all; or its folders"

    def __init__(self, dev: float = 0.05, test: float = 0.05, split: str = "utterance"):
        super().__init__()
        if (
            split not in ("utterance", "speaker")
            or not 0 <= float(dev) + float(test) < 1
        ):
            raise ValueError("split is utterance or speaker; dev and test are shares")
        self.dev, self.test, self.split = float(dev), float(test), split

    def read(self, root: Path, parts: list[str], store: Store) -> Iterator[Utterance]:
        root = Path(root)
        if not root.is_dir():
            raise self.missing(root, "no folder")
        own = [part for part in parts if (root / part).is_dir()]
        if parts and len(own) == len(parts):
            for part in parts:
                yield from self.found(root / part)
            return
        divided = [part for part in (TRAIN, DEV, TEST) if (root / part).is_dir()]
        if parts and divided:
            absent = next(part for part in parts if part not in own)
            raise self.missing(root, f"no {absent} beside {', '.join(divided)}")
        check_parts(parts or ["all"], (TRAIN, DEV, TEST, "all"))
        utterances = list(self.found(root))
        if not utterances:
            raise self.missing(root, "no recording with a text")
        if not parts or "all" in parts:
            yield from utterances
            return

        def key(utterance: Utterance) -> str:
            return utterance.speaker if self.split == "speaker" else utterance.name

        part_of = by_digest(map(key, utterances), self.dev, self.test)
        yield from (u for u in utterances if part_of[key(u)] in parts)

    def found(self, root: Path) -> Iterator[Utterance]:
        """All utterances of a folder."""
        if (root / "wav.scp").is_file():
            return self.kaldi(root)
        tables = [root / name for name in TABLES if (root / name).is_file()]
        if tables:
            return self.table(tables[0])
        return self.recordings(root)

    def kaldi(self, root: Path) -> Iterator[Utterance]:
        """A Kaldi directory."""
        if not (root / "text").is_file() and not self.text_optional:
            raise self.missing(root, "no text beside wav.scp")
        wavs = read_table(root / "wav.scp")
        text = self.pairs(root / "text")
        speakers = self.pairs(root / "utt2spk")
        spans, lengths = self.pairs(root / "segments"), self.pairs(root / "utt2dur")
        names = spans or wavs
        for name in sorted(text.keys() - names.keys()):
            self.skip(NO_AUDIO, name)
        for name in names:
            span, recording = None, name
            if spans:
                try:
                    span = Segment.parse(spans[name])
                except ValueError:
                    self.skip("segment without recording, start and end", name)
                    continue
                recording = span.recording
            entry = wavs.get(recording, "")
            if name not in text and not self.text_optional:
                self.skip(NO_TEXT, name)
            elif not entry:
                self.skip(NO_AUDIO, name)
            else:
                seconds = _number(lengths[name]) if name in lengths else None
                if span and span.end:
                    seconds = span.end - span.start
                speaker = speakers.get(name, "")
                said = text.get(name, "")
                yield Utterance(name, entry, said, speaker, seconds, span)

    def pairs(self, path: Path) -> dict[str, str]:
        """A table of a Kaldi directory: the first line of each id."""
        found: dict[str, str] = {}
        for line in self.read_lines(path) if path.is_file() else ():
            key, *value = line.split(maxsplit=1)
            if key in found:
                self.skip(f"id twice in {path.name}", key)
            found.setdefault(key, "".join(value))
        return found

    def table(self, path: Path) -> Iterator[Utterance]:
        """A table of recordings; files are named from its folder, or from its wavs."""
        named = set()
        for number, row in enumerate(self.rows(path), 1):
            file, text, speaker = (_first(row, n) for n in (FILES, TEXTS, SPEAKERS))
            audio = self.locate(path.parent, file)
            named.add(audio and os.path.normpath(audio))
            if not file or audio is None:
                self.skip(NO_AUDIO, file or f"{path.name}: row {number}")
            elif not text.strip() and not self.text_optional:
                self.skip(NO_TEXT, file)
            elif self.good_audio(audio):
                name = os.path.splitext(file)[0] if audio.suffix in file else file
                speaker = speaker or _first_folder(audio, path.parent)
                yield Utterance(name, str(audio), text, speaker)
        for folder, files in _folders(path.parent):
            for file in files:
                audio = os.path.normpath(folder / file)
                ending = os.path.splitext(file)[1].lower()
                if ending in AUDIO_ENDINGS and file[0] != "." and audio not in named:
                    self.skip(f"recording that {path.name} does not name", audio)

    def rows(self, path: Path) -> Iterator[dict[str, str]]:
        lines = self.read_lines(path)
        if path.suffix == ".jsonl":
            for number, line in enumerate(lines, 1):
                try:
                    row = dict(json.loads(line))
                except (TypeError, ValueError):
                    self.skip("damaged json", f"{path.name}:{number}")
                    continue
                yield {str(k).lower(): str(v) for k, v in row.items() if v is not None}
            return
        columns, separator = _header(lines[0]) if lines else ([], "")
        if columns:
            for fields in self.records(path, lines[1:], columns, separator):
                yield dict(zip(columns, fields, strict=False))
            return
        separator = "\t" if path.suffix == ".tsv" else ","
        bar = "|" if lines and "|" in lines[0] else separator
        for line in lines:  # LJSpeech's: no header, no quotation marks
            fields = line.split(bar) if bar == "|" else line.split(bar, 1)
            if len(fields) < 2:
                self.skip(f"line of {path.name} without text", line[:40])
                continue
            text = fields[2] if len(fields) > 2 and fields[2].strip() else fields[1]
            yield {"file_name": fields[0].strip(), "text": text}

    def records(
        self, path: Path, lines: list[str], columns: list[str], separator: str
    ) -> Iterator[list[str]]:
        """Fields of the rows below a header.

        Fields in quotation marks may have line breaks, but a mark that nothing closes
        costs its own row alone: the next line that names a recording is a row.
        """
        file = min((c for c in columns if c in FILES), key=FILES.index)
        place, row = columns.index(file), ""

        def unclosed() -> None:
            self.skip(f"misplaced quotation mark in {path.name}", row[:40])

        for line in lines:
            if row:  # a mark is open
                named = "".join(line.split(separator)[place : place + 1]).strip(' "')
                if len(row) > LONGEST or self.locate(path.parent, named):
                    unclosed()
                    row = ""
            row = f"{row} {line}" if row else line
            fields = _fields(row, separator, len(columns))
            if fields is None:
                continue
            if any(fields[len(columns) :]):
                self.skip(f"row of {path.name} longer than its header", row[:40])
            else:
                yield fields
            row = ""
        if row:
            unclosed()

    @staticmethod
    def locate(folder: Path, file: str) -> Path | None:
        """The recording that a table names, with or without ending."""
        for place in (folder, folder / "wavs", folder / "wav", folder / "audio"):
            for ending in ("", *AUDIO_ENDINGS):
                if file and (path := place / f"{file}{ending}").is_file():
                    return path
        return None

    def recordings(self, root: Path) -> Iterator[Utterance]:
        """Recordings with a text file each."""
        for folder, files in _folders(root):
            yield from self.beside(root, folder, files)

    def beside(self, root: Path, folder: Path, names: list[str]) -> Iterator[Utterance]:
        texts = {}
        for ending in reversed(TEXT_ENDINGS):
            for name in names:
                if name.endswith(ending) and not name.startswith("."):
                    texts[name.removesuffix(ending)] = folder / name
        for name in names:
            stem, ending = os.path.splitext(name)
            path = folder / name
            if name.startswith("._"):
                self.skip("macOS resource file", path)
            elif ending.lower() in OTHER_ENDINGS:
                texts.pop(stem, None)
                self.skip(f"{ending} is not read: convert it with ffmpeg", path)
            elif ending.lower() in AUDIO_ENDINGS and not name.startswith("."):
                text = texts.pop(stem, None)
                if text is None and not self.text_optional:
                    self.skip(NO_TEXT, path)
                elif self.good_audio(path):
                    key = path.relative_to(root).with_suffix("").as_posix()
                    speaker = _first_folder(path, root)
                    said = "" if text is None else self.read_text(text)
                    yield Utterance(key, str(path), said, speaker)
        for stem, path in sorted(texts.items()):
            if not stem.endswith(".normalized") and not stem.endswith(".original"):
                self.skip(NO_AUDIO, path)


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


def _number(text: str) -> float:
    """Of a table; what is none is NaN, which is refused later."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """A folder and those in it, without hidden ones, each with its files' names."""
    seen: set[str] = set()
    for above, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(above)
        if real in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        yield Path(above), sorted(names)


def _first_folder(path: Path, root: Path) -> str:
    """The first folder on the way from ``root`` to a recording; "": it lies there."""
    folders = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()
    ordinary = [f for f in folders if f not in ("wavs", "wav", "audio")]
    return ordinary[0] if ordinary else ""
