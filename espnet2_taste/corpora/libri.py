"""LibriSpeech, LibriTTS and LibriTTS-R: a folder for each part, reader and chapter."""

import os
from collections.abc import Iterator
from pathlib import Path

from espnet2_taste.corpora.abs_corpus import (
    BY_HALF,
    NO_AUDIO,
    NO_TEXT,
    AbsCorpus,
    Utterance,
    find_folder,
    subfolders,
)
from espnet2_taste.corpora.store import Store

#: Corpora of the same parts, and how their audio's names end.
ENDINGS = {"LibriSpeech": ".flac", "LibriTTS": ".wav"}


class Libri(AbsCorpus):
    """``<part>/<reader>/<chapter>/``; the reader's number is the speaker.

    The three corpora have the same readers: LibriTTS's dev-clean and test-clean are
    recordings of LibriSpeech's.
    """

    parts = (
        "dev-clean, dev-other, test-clean, test-other, train-clean-100, "
        "train-clean-360, train-other-500"
    )
    folders: tuple[str, ...]  # what it is called
    ending: str  # of audio
    #: Utterances of its parts, where that is known.
    published: dict[str, int] = {}

    def read(self, root: Path, parts: list[str], store: Store) -> Iterator[Utterance]:
        folder = find_folder(
            root, self.folders, lambda f: any((f / p).is_dir() for p in parts)
        )
        found = [f.name for f in subfolders(folder or root)] if root.is_dir() else []
        for part in parts or [f"part given, of {self.parts}"]:
            if folder is None or not (folder / part).is_dir():
                has = ", ".join(found) or "nothing"
                raise self.missing(root, f"no {part} (found: {has})")
        for part in parts:
            self.check_readers(folder, part)
            self.check_part(folder / part)
        for part in parts:
            for reader in subfolders(folder / part):
                for chapter in subfolders(reader):
                    yield from self.chapter(chapter, reader.name)

    def check_readers(self, folder: Path, part: str) -> None:
        """Note readers of SPEAKERS.TXT that have no folder: unpacked by half?"""
        table = next((f for f in folder.glob("SPEAKERS.*") if f.is_file()), None)
        listed = set()
        for line in self.read_lines(table) if table else ():
            fields = [each.strip() for each in line.split("|", 4)]
            if not line.startswith(";") and len(fields) > 2 and fields[2] == part:
                listed.add(fields[0])
        absent = listed - {f.name for f in subfolders(folder / part)}
        for reader in sorted(absent):
            self.absent_reader(f"reader of {table.name} without folder", part, reader)

    def check_part(self, part: Path) -> None:
        """Refuse half a part, and another corpus with parts of these names.

        Raises:
            FileNotFoundError: names the other corpus, or how many utterances there are.
        """
        files = part.glob(f"*/*/*{self.ending}")
        count = sum(not file.name.startswith("._") for file in files)
        for name, ending in ENDINGS.items():
            if not count and any(part.glob(f"*/*/*{ending}")):
                what = f"no *{self.ending} in {part}: is it {name}?"
                raise FileNotFoundError(what)
        self.check_count(part.name, count, self.published.get(part.name, 0))

    def absent_reader(self, what: str, part: str, reader: str) -> None:
        self.note(what, f"{part}/{reader}")  # some have no utterance that was kept

    def chapter(self, folder: Path, reader: str) -> Iterator[Utterance]:
        """The utterances of a chapter's folder."""
        with os.scandir(folder) as entries:
            files = {entry.name: entry for entry in entries}
        text = self.transcripts(folder, files)
        for name in sorted(files):
            if not name.endswith(self.ending):
                continue
            utt = name.removesuffix(self.ending)
            if name.startswith("._"):
                self.skip("macOS resource file", files[name].path)
            elif not self.good_audio(files[name]):
                text.pop(utt, None)
            elif utt not in text:
                self.skip(NO_TEXT, files[name].path)
            else:
                yield Utterance(utt, files[name].path, text.pop(utt), reader)
        for utt in sorted(text):
            self.skip(NO_AUDIO, utt)

    def transcripts(self, folder: Path, files: dict[str, os.DirEntry]) -> dict:
        """Utterance -> text of a chapter."""
        raise AssertionError("of its subclasses")


class LibriSpeech(Libri):
    """LibriSpeech (OpenSLR 12): flac of 16 kHz; upper-case text without punctuation.

    Whisper's and a BPE's pieces of upper-case text are others than those of ordinary
    text: use ``--cleaner lower``.

    Args:
        complete: whether to refuse a part that lacks readers or utterances.
    """

    files = "LibriSpeech/<part>/<reader>/<chapter>/*.flac and *.trans.txt"
    folders = ("LibriSpeech",)
    ending = ".flac"
    downloads = "librispeech"
    published = {
        "dev-clean": 2703,
        "dev-other": 2864,
        "test-clean": 2620,
        "test-other": 2939,
        "train-clean-100": 28539,
        "train-clean-360": 104014,
        "train-other-500": 148688,
    }

    def __init__(self, complete: bool = True):
        super().__init__()
        self.complete = complete

    def absent_reader(self, what: str, part: str, reader: str) -> None:
        if self.complete:
            raise FileNotFoundError(
                f"{part} has no reader {reader}, whom SPEAKERS.TXT lists: {BY_HALF}"
            )
        super().absent_reader(what, part, reader)

    def transcripts(self, folder: Path, files: dict[str, os.DirEntry]) -> dict:
        text = {}
        for name in files:
            if name.endswith(".trans.txt") and not name.startswith("."):
                for line in self.read_lines(folder / name):
                    utt, _, words = line.strip().partition(" ")
                    if utt in text:
                        self.note("more than one text of an id", utt)
                    text.setdefault(utt, words)
        return text


class LibriTTS(Libri):
    """LibriTTS (OpenSLR 60) or LibriTTS-R (141): wav of 24 kHz, text with case and
    punctuation.

    Args:
        text: ``normalized`` (numbers and abbreviations spelt out) or ``original``.
        complete: whether to refuse a part of LibriTTS that lacks utterances.
    """

    files = "LibriTTS/<part>/<reader>/<chapter>/*.wav and *.trans.tsv or *.txt"
    folders = ("LibriTTS", "LibriTTS_R")
    ending = ".wav"
    downloads = "libritts"
    published = {
        "dev-clean": 5736,
        "dev-other": 4613,
        "test-clean": 4837,
        "test-other": 5120,
        "train-clean-100": 33236,
        "train-clean-360": 116500,
        "train-other-500": 205044,
    }
    #: Not readable in LibriTTS-R as published.
    damaged = frozenset({"1092_134562_000013_000004"})

    def __init__(self, text: str = "normalized", complete: bool = True):
        super().__init__()
        if text not in ("normalized", "original"):
            raise ValueError(f"text is normalized or original, not {text}")
        self.text, self.complete = text, complete

    def transcripts(self, folder: Path, files: dict[str, os.DirEntry]) -> dict:
        text = {}
        column = 2 if self.text == "normalized" else 1
        for name in files:
            if name.endswith(".trans.tsv") and not name.startswith("."):
                for line in self.read_lines(folder / name):
                    fields = line.split("\t")
                    if len(fields) == 3:
                        text[fields[0].strip()] = fields[column]
                    else:
                        self.note("line without three columns", f"{folder / name}")
        end = f".{self.text}.txt"
        for name in files:
            utt = name.removesuffix(end)
            if utt != name and utt not in text and not name.startswith("."):
                text[utt] = self.read_text(folder / name)
        return text

    def chapter(self, folder: Path, reader: str) -> Iterator[Utterance]:
        for utterance in super().chapter(folder, reader):
            if utterance.name in self.damaged and "LibriTTS_R" in utterance.audio:
                self.skip("known to be damaged in LibriTTS-R", utterance.name)
            else:
                yield utterance


class LibriTTSR(LibriTTS):
    """LibriTTS-R: LibriTTS restored; the layout is the same, the archives are not."""

    files = "LibriTTS_R/<part>/<reader>/<chapter>/*.wav and *.trans.tsv or *.txt"
    folders = ("LibriTTS_R",)
    downloads = "libritts_r"
    published = {}  # not known
