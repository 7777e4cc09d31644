"""Corpora that may be downloaded without asking: ``archives.txt`` lists their files."""

import hashlib
import logging
import lzma
import shutil
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from espnet2_taste.corpora.splits import check_parts
from espnet2_taste.io.atomic import write_text
from espnet2_taste.io.download import fetch_large

TABLE = Path(__file__).with_name("archives.txt")
#: What reading a damaged archive raises, besides OSErrors without number.
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, lzma.LZMAError)


@dataclass(frozen=True)
class Archive:
    """A file to be had, and how to know that all of it came.

    Attributes:
        url: of it.
        size: bytes; None: not known.
        checksum: ``sha256:...`` or ``md5:...``; "": not known.
    """

    url: str
    size: int | None = None
    checksum: str = ""

    @property
    def name(self) -> str:
        """Its file name."""
        return self.url.rpartition("/")[2]

    def check(self, path: Path) -> None:
        """Refuse another file.

        Raises:
            ValueError: size or checksum are others.
        """
        size = path.stat().st_size
        if self.size is not None and size != self.size:
            raise ValueError(f"{path} has {size} bytes instead of {self.size}")
        if self.checksum:
            kind, _, wanted = self.checksum.partition(":")
            digest = hashlib.new(kind)
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            if digest.hexdigest() != wanted:
                raise ValueError(f"{path}: its {kind} is not {wanted}")
        elif self.size is None and zipfile.is_zipfile(path) is False:
            raise ValueError(f"{path} is not whole")


def archives_of(corpus: str, parts: list[str], table: Path = TABLE) -> list[Archive]:
    """The files of some parts of a corpus.

    Raises:
        ValueError: another part; names those there are.
    """
    found = []
    for line in table.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        name, part, url, size, checksum = line.split()
        if name == corpus:
            number = None if size == "-" else int(size)
            archive = Archive(url, number, "" if checksum == "-" else checksum)
            found.append((part, archive))
    known = [part for part, _ in found]
    if "*" not in known:  # which is in one piece: its reader knows its parts
        check_parts(parts, known)
    return [archive for part, archive in found if part == "*" or part in parts]


def fetch_corpus(
    corpus: str,
    parts: list[str],
    folder: Path,
    mirror: str | None = None,
    table: Path = TABLE,
) -> Path:
    """Download and unpack some parts of a corpus into ``folder/<corpus>``.

    A download that was cut goes on. What is there already is neither downloaded nor
    unpacked again; the archives may be deleted.

    Args:
        corpus, parts: see :func:`archives_of`.
        folder: e.g. a recipe's ``downloads``.
        mirror: address of a folder with files of the same names.
        table: see ``archives.txt``.

    Raises:
        OSError, ValueError: see :func:`archives_of`, :func:`fetch_large` and
            :func:`unpack`.
    """
    target = folder / corpus
    for archive in archives_of(corpus, parts, table):
        if not complete_mark(target, archive.name).is_file():
            url = f"{mirror.rstrip('/')}/{archive.name}" if mirror else archive.url
            logging.info("%s: downloading, unless it is there", url)
            path = fetch_large(url, target / archive.name, archive.check)
            unpack(path, target)
    return target


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar or zip into ``folder``, beside what is there; once.

    ``.<name>.complete`` in the folder says that it was done. Files appear in their
    places when all are unpacked.

    Raises:
        ValueError: the archive is truncated or damaged, or no archive.
    """
    mark, temporary = complete_mark(folder, archive.name), folder / f".{archive.name}"
    if mark.is_file():
        return
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    logging.info("unpacking %s", archive)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as content:
                content.extractall(temporary)
        else:
            with tarfile.open(archive) as content:
                content.extractall(temporary, filter="data")
        _move(temporary, folder)
    except (*_BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # a full disk, say
            raise
        raise ValueError(
            f"{archive} is truncated, damaged or no archive ({error}): delete it and "
            "run again"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    write_text(mark, f"{archive.name}\n")


def complete_mark(folder: Path, name: str) -> Path:
    """The file that says that the archive ``name`` was unpacked into ``folder``."""
    return folder / f".{name}.complete"


def _move(source: Path, target: Path) -> None:
    """Move what is in a folder into another, which may have folders of its names."""
    for path in sorted(source.iterdir()):
        goal = target / path.name
        if path.is_dir() and goal.is_dir():
            _move(path, goal)
        else:
            path.replace(goal)
