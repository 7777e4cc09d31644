"""One's own recordings: with a table, with a text file each, or a Kaldi directory."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from espnet2_taste.corpora.abs_corpus import (
    AUDIO_ENDINGS,
    NO_AUDIO,
    NO_TEXT,
    AbsCorpus,
    Utterance,
)
from espnet2_taste.corpora.metadata import ENDINGS, MetadataTable, first_folder
from espnet2_taste.corpora.splits import DEV, TEST, TRAIN, by_digest, check_parts
from espnet2_taste.corpora.store import Store
from espnet2_taste.io.segments import Segment
from espnet2_taste.io.tables import read_table

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
      lines; or one of each part: ``metadata_<part>`` or ``<part>`` with these endings
      (Coqui's, Common Voice's);
    * ``x.wav`` (or flac, mp3, ogg ...) with ``x.txt``, ``x.lab`` or
      ``x.normalized.txt``, in any folders.

    The speaker is the table's, else the first folder on the way to the recording, else
    the recording. Parts: folders or tables ``train``, ``dev`` and ``test``, if there
    are; else a digest of the id (or of the speaker) decides, which stays when
    recordings are added.

    Args:
        dev, test: shares of the parts.
        split: ``utterance`` or ``speaker``: what is not divided.
    """

    files = "wav.scp and text, metadata.{csv,tsv,jsonl}, or x.wav with x.txt"
    parts = "train, dev, test, or all; or its folders or tables"

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
        own = {part: path for part in parts if (path := _part(root, part))}
        if parts and len(own) == len(parts):
            for path in own.values():
                yield from self.found(path)
            return
        divided = [part for part in (TRAIN, DEV, TEST) if _part(root, part)]
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

    def found(self, root: Path) -> Iterable[Utterance]:
        """All utterances of a folder, or of a part's table."""
        if root.is_file():
            return MetadataTable(self, root)
        if (root / "wav.scp").is_file():
            return self.kaldi(root)
        table = _table(root, "metadata")
        return self.recordings(root) if table is None else self.whole(table)

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

    def whole(self, path: Path) -> Iterator[Utterance]:
        """A table, and a count of recordings beside it that it does not name."""
        table = MetadataTable(self, path)
        yield from table
        for folder, files in _folders(path.parent):
            for file in files:
                audio = os.path.normpath(folder / file)
                ending = os.path.splitext(file)[1].lower()
                sounds = ending in AUDIO_ENDINGS and file[0] != "."
                if sounds and audio not in table.named:
                    self.skip(f"recording that {path.name} does not name", audio)

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
                    speaker = first_folder(path, root)
                    said = "" if text is None else self.read_text(text)
                    yield Utterance(key, str(path), said, speaker)
        for stem, path in sorted(texts.items()):
            if not stem.endswith(".normalized") and not stem.endswith(".original"):
                self.skip(NO_AUDIO, path)


def _table(root: Path, name: str) -> Path | None:
    """A table of this name, whatever its ending."""
    paths = (root / f"{name}{ending}" for ending in ENDINGS)
    return next((path for path in paths if path.is_file()), None)


def _part(root: Path, name: str) -> Path | None:
    """A part's own folder, or its own table."""
    if (root / name).is_dir():
        return root / name
    return _table(root, f"metadata_{name}") or _table(root, name)


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
