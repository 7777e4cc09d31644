"""Emilia: tars of json and mp3 pairs, or jsonl files beside folders of mp3."""

import fnmatch
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from espnet2_taste.corpora.abs_corpus import (
    NO_AUDIO,
    NO_TEXT,
    AbsCorpus,
    Utterance,
    find_folder,
)
from espnet2_taste.corpora.pseudo_labels import FILTERS
from espnet2_taste.corpora.splits import DEV, TEST, TRAIN, tail
from espnet2_taste.corpora.store import Store


class Emilia(AbsCorpus):
    """One language of Emilia or Emilia-YODAS; which layout it is, is seen.

    * ``<language>-B000000.tar`` with ``<id>.json`` and ``<id>.mp3`` (Hugging Face);
      tars are read where they lie, and their audio later, too;
    * the same unpacked: ``<language>-B000000/<id>.json`` (ESPnet);
    * ``<language>_B00000.jsonl`` beside the folders that it names (OpenDataLab).

    A shard is a tar, such a folder or a jsonl file. Parts are ``train``, ``dev`` and
    ``test`` (test: the last shards, dev: those before), or shards by name
    (``EN-B0000*``) or number (``0-1130``).

    Args:
        language: its code.
        filter: of texts, which Whisper made: none, f5 (F5-TTS's), espnet.
        held_out: shards in each of dev and test.
        min_dnsmos: lowest DNSMOS.
    """

    files = (
        "<language>-B000000.tar ..., or <language>_B00000.jsonl with its mp3 folders"
    )
    parts = "train, dev, test, or shards: EN-B0000*, 0-1130"

    def __init__(
        self,
        language: str = "EN",
        filter: str = "none",
        held_out: int = 1,
        min_dnsmos: float = 0.0,
    ):
        super().__init__()
        if filter not in FILTERS:
            raise ValueError(f"filter is {', '.join(FILTERS)}, not {filter}")
        self.language, self.held_out, self.min_dnsmos = language, held_out, min_dnsmos
        self.filter = FILTERS[filter]

    def read(self, root: Path, parts: list[str], store: Store) -> Iterator[Utterance]:
        for shard in self.choose(self.shards(Path(root)), parts):
            if shard.suffix == ".tar":
                yield from self.read_tar(shard)
            elif shard.is_dir():
                yield from self.read_folder(shard)
            else:
                yield from self.read_jsonl(shard)

    def shards(self, root: Path) -> list[Path]:
        """All shards, in order."""
        code = self.language
        places = tuple(
            f"{above}{code}" for above in ("", "Emilia/", "raw/", "Emilia-YODAS/")
        )
        folder = find_folder(root, places, lambda f: bool(self.shards_in(f)))
        if folder is None:
            raise self.missing(root, f"no shard of language {code}")
        return self.shards_in(folder)

    def shards_in(self, folder: Path) -> list[Path]:
        code = self.language
        kinds = (f"{code}[-_]*.tar", f"{code}[-_]*.jsonl", f"{code}-B[0-9]*")
        tars, jsonls, others = (list(folder.glob(kind)) for kind in kinds)
        unpacked = [
            path
            for path in others
            if path.is_dir() and path.with_name(f"{path.name}.tar") not in tars
        ]
        return sorted([*tars, *jsonls, *unpacked])

    def choose(self, shards: list[Path], parts: list[str]) -> list[Path]:
        """The shards of some parts.

        Raises:
            FileNotFoundError: a part without shard.
        """
        held = dict(zip((TRAIN, DEV, TEST), tail(shards, self.held_out), strict=True))
        chosen: set[Path] = set()
        for part in parts or [TRAIN, DEV, TEST]:
            found = held.get(part)
            if found is None:
                found = [shard for shard in shards if _is_of(shard, part)]
            if not found and parts:
                raise FileNotFoundError(
                    f"no shard of part {part}: there are {len(shards)}, from "
                    f"{shards[0].name} to {shards[-1].name} (whole shards are held out)"
                )
            chosen |= set(found)
        return [shard for shard in shards if shard in chosen]

    def read_tar(self, path: Path) -> Iterator[Utterance]:
        """Pairs of a tar, where they lie in it."""
        waiting: dict[str, dict] = {}
        size = path.stat().st_size
        try:
            with tarfile.open(path, "r:") as tar:
                while (member := tar.next()) is not None:
                    tar.members.clear()  # else it keeps them all
                    stem, _, kind = member.name.rpartition(".")
                    name = stem.rpartition("/")[2]
                    if not member.isfile() or name.startswith("."):
                        continue
                    pair = waiting.setdefault(name, {})
                    if kind == "json":
                        pair["row"] = self.parse(tar.extractfile(member).read(), name)
                    elif kind in ("mp3", "wav", "flac"):
                        if member.offset_data + member.size > size:
                            raise tarfile.ReadError("unexpected end of data")
                        entry = f"{path}:{member.offset_data}:{member.size}"
                        pair["audio"] = entry if member.size else ""
                    if len(pair) == 2:
                        del waiting[name]
                        yield from self.utterance(name, pair["row"], pair["audio"])
                if not _ends(path, tar.offset):
                    raise tarfile.ReadError("no end of archive where it stops")
        except tarfile.TarError as error:
            self.skip(f"rest of a truncated or damaged tar ({error})", path)
        for name, pair in waiting.items():
            self.skip(NO_TEXT if "audio" in pair else NO_AUDIO, f"{path}: {name}")

    def read_folder(self, folder: Path) -> Iterator[Utterance]:
        """Pairs of an unpacked tar."""
        rows = {p.stem: p for p in folder.glob("*.json") if p.name[0] != "."}
        audio = {p.stem: p for p in folder.glob("*.mp3") if p.name[0] != "."}
        for name in sorted(rows.keys() | audio.keys()):
            if name not in audio:
                self.skip(NO_AUDIO, rows[name])
            elif name not in rows:
                self.skip(NO_TEXT, audio[name])
            elif self.good_audio(audio[name]):
                row = self.parse(rows[name].read_bytes(), rows[name])
                yield from self.utterance(name, row, str(audio[name]))

    def read_jsonl(self, path: Path) -> Iterator[Utterance]:
        """Lines of a jsonl file that name mp3 files, from its folder."""
        packed = sorted(path.parent.glob(f"{path.stem}.tar.gz*"))
        if packed and not path.with_suffix("").is_dir():
            raise FileNotFoundError(
                f"{path.with_suffix('')} is not there: unpack {packed[0].name} first "
                "(cat its parts together, if it has several)"
            )
        with open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                row = self.parse(line, f"{path}:{number}") if line.strip() else None
                if row is None:
                    continue
                audio = path.parent / str(row.get("wav", ""))
                if not row.get("wav") or not audio.is_file():
                    self.skip(NO_AUDIO, f"{path}:{number}")
                elif self.good_audio(audio):
                    yield from self.utterance(audio.stem, row, str(audio))

    def parse(self, content: bytes, where) -> dict | None:
        """A json object; None, and skipped, if it is none."""
        try:
            row = json.loads(content)
            if isinstance(row, dict):  # null is as if it was not there
                return {k: value for k, value in row.items() if value is not None}
        except ValueError:
            pass
        self.skip("damaged json", where)
        return None

    def utterance(self, name: str, row: dict | None, audio: str) -> Iterator[Utterance]:
        """The utterance, if it is wanted."""
        if row is None:
            return
        name = str(row.get("id") or row.get("_id") or name)
        try:
            text, seconds = str(row["text"]), float(row["duration"])
            speaker = str(row["speaker"])
            dnsmos = float(row.get("dnsmos", 5.0))
        except (KeyError, TypeError, ValueError):
            self.skip("json without text, speaker or duration", name)
            return
        if not audio:
            self.skip("audio file of zero bytes", name)
        elif dnsmos < self.min_dnsmos:
            self.skip(f"DNSMOS below {self.min_dnsmos}", name)
        elif reason := self.filter(text, speaker):
            self.skip(reason, name)
        else:
            yield Utterance(name, audio, text, speaker, seconds)


def _ends(path: Path, offset: int) -> bool:
    """Whether a tar ends at ``offset``, where tarfile stops without a word: zeros."""
    with open(path, "rb") as file:
        file.seek(offset)
        rest = file.read(1 << 20)
    return len(rest) >= tarfile.BLOCKSIZE and not rest.strip(b"\0")


def _is_of(shard: Path, part: str) -> bool:
    """Whether a shard's name or number is that of a part: a pattern or a range."""
    numbers = re.fullmatch(r"(\d+)-(\d+)", part)
    if numbers is None:
        return fnmatch.fnmatch(shard.name, part) or fnmatch.fnmatch(shard.stem, part)
    number = re.search(r"(\d+)$", shard.stem)
    return number is not None and (int(numbers[1]) <= int(number[1]) <= int(numbers[2]))
