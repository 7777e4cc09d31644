"""What every corpus is read into, and what all readers of corpora share."""

import os
import re
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from espnet2_taste.corpora.store import Store
from espnet2_taste.io.segments import Segment

#: What libsndfile reads, as file names end.
AUDIO_ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".sph", ".aif", ".aiff")
NO_TEXT, NO_AUDIO = "audio without text", "text without audio"
BY_HALF = "unpacked by half? (--layout_conf complete=false takes what there is)"


@dataclass(frozen=True)
class Utterance:
    """One recording and what is said in it.

    Attributes:
        name: its id; white space and slashes in it are replaced later.
        audio: entry of ``wav.scp``; or a file's bytes, which the store did not take.
        text: as the corpus has it.
        speaker: id.
        seconds: length; None: the corpus does not say.
        span: the part of a recording that it is; None: all of ``audio``.
        arrays: what need not be extracted, by the name of its table: ``units`` (N,)
            int32, ``spk_emb`` (S,) float32.
    """

    name: str
    audio: str | bytes
    text: str
    speaker: str
    seconds: float | None = None
    span: Segment | None = None
    arrays: Mapping = field(default_factory=dict)


class Ledger:
    """Counts what was met, by reason, and keeps the first three names of each.

    All of them are written to a file, if one is open: ``reason<TAB>name``.
    """

    def __init__(self):
        self.counts: Counter = Counter()
        self.examples: dict[str, list[str]] = defaultdict(list)
        self.file = None

    def __call__(self, reason: str, name) -> None:
        name = " ".join(str(name).split())
        self.counts[reason] += 1
        if self.counts[reason] <= 3:
            self.examples[reason].append(name)
        if self.file is not None:
            self.file.write(f"{reason}\t{name}\n")

    def clear(self) -> None:
        """Forget all, for it is read again."""
        self.counts.clear()
        self.examples.clear()

    def lines(self) -> Iterator[str]:
        """``3 (reason): a, b, c`` for each reason."""
        for reason, count in self.counts.items():
            more = ", ..." if count > 3 else ""
            yield f"{count} ({reason}): {', '.join(self.examples[reason])}{more}"


class AbsCorpus(ABC):
    """Reads a corpus of one layout; its options are arguments of the class.

    Attributes:
        skip: call it with the reason and the name of what is left out.
        note: likewise, of what is kept but was changed or is doubtful.
        text_optional: utterances without text are wanted, too: a recogniser follows.
        complete: a part with fewer utterances than it was published with is refused.
    """

    text_optional = False
    complete = True

    #: What the root folder must hold, for messages and ``--help``.
    files: str
    #: Its parts, for messages and ``--help``.
    parts: str
    #: Its name in ``archives.txt``; "": it cannot be downloaded without asking.
    downloads: str = ""

    def __init__(self):
        self.skip, self.note = Ledger(), Ledger()

    @abstractmethod
    def read(self, root: Path, parts: list[str], store: Store) -> Iterator[Utterance]:
        """The utterances of some parts, in any order; if read again, the same.

        Args:
            root: folder of the corpus; its parent and its child are recognised.
            parts: names; [] where the corpus has one part only.
            store: takes audio that does not lie in files of its own, if it is wanted.

        Raises:
            FileNotFoundError, ValueError: the folder is not of this layout, or a part
                is missing; one line names it and what there is.
        """

    def missing(self, root: Path, what: str) -> FileNotFoundError:
        """The error of a folder that is not of this layout."""
        return FileNotFoundError(f"{what}: {root} should hold {self.files}")

    def check_count(self, part: str, count: int, published: int) -> None:
        """Refuse a part of which some is missing; unless ``complete``, note it.

        Raises:
            FileNotFoundError: ``count`` is less than ``published``.
        """
        found = f"{count} of {published} utterances"
        if count < published and self.complete:
            raise FileNotFoundError(f"{part} has {found}: {BY_HALF}")
        if count < published:
            self.note("part that is not complete", f"{part} with {found}")

    def read_text(self, path: Path) -> str:
        """A text file with line ends as \\n; what is not UTF-8 is noted."""
        content = path.read_bytes()
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            encodings = ("utf-16", "latin-1")
        else:
            encodings = ("utf-8-sig", "cp1252", "latin-1")
        for encoding in encodings:
            try:
                text = content.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
        if encoding != "utf-8-sig":
            self.note(f"read as {encoding}, for it is not UTF-8", path)
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def read_lines(self, path: Path) -> list[str]:
        """The lines of a text file that are not empty."""
        return [line for line in self.read_text(path).split("\n") if line.strip()]

    def good_audio(self, path: Path | os.DirEntry) -> bool:
        """Whether a file has any bytes; else it is skipped."""
        try:
            size = path.stat().st_size
        except OSError:
            self.skip("no such file, or a broken link", _path(path))
            return False
        if not size:
            self.skip("audio file of zero bytes", _path(path))
        return size > 0


def _path(path: Path | os.DirEntry) -> str:
    return getattr(path, "path", str(path))


def tidy_text(text: str) -> str:
    """One line of NFC with single spaces; control characters become spaces."""
    text = re.sub("[\ufeff\u200b]", "", unicodedata.normalize("NFC", text))
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", text).split())


def tidy_name(name: str) -> str:
    """An id without white space and slashes: ``a b/c`` is ``a_b-c``."""
    return "_".join(tidy_text(name).split()).replace("/", "-").replace("\\", "-")


def subfolders(folder: Path) -> list[Path]:
    """Its folders by name, without hidden ones."""
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    return [folder / name for name in sorted(names)]


def find_folder(root: Path, names: tuple[str, ...], holds) -> Path | None:
    """The folder that ``holds`` accepts: root, one of ``names`` in it, or its parents.

    None if there is none.
    """
    root = Path(root)
    above = root.resolve().parents[:2]
    for folder in (root, *(root / name for name in names), *above):
        if folder.is_dir() and holds(folder):
            return folder
    return None
