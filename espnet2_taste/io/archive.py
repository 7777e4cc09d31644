"""Unpacking zips from elsewhere, at a bounded cost and into one folder only."""

import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

#: Bytes that are unpacked however small the zip is; beyond, a zip may unpack to so
#: many times its own size. Weights hardly shrink, a token list does to a tenth.
SMALL, RATIO = 1 << 30, 20
MAX_MEMBERS = 100_000


def open_zip(path: Path) -> zipfile.ZipFile:
    """A zip for reading.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, or something else.
    """
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path} is no zip or a damaged one ({error})") from None


def unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    """Unpack everything into a folder; names that lead elsewhere are refused.

    No more than what the zip declares is written, and of that no more than the size
    of the zip can stand for or than the disk has room for.

    Raises:
        ValueError: damaged, or none that anybody would pack; the message says why.
        OSError: the disk is too small; nothing was written.
    """
    path = Path(archive.filename)
    members = archive.infolist()
    _check(path, members)
    total = sum(member.file_size for member in members)
    free = shutil.disk_usage(folder).free
    if total > free:
        raise OSError(
            f"{folder.parent}: {path.name} needs {total >> 20} MB, "
            f"{free >> 20} MB are free: set TASTE_CACHE to another folder"
        )
    for member in members:
        target = folder / member.filename
        if member.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with archive.open(member) as source, target.open("xb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ValueError(f"{path} is damaged ({error})") from None
        except RuntimeError as error:  # encrypted, or packed in an unknown way
            raise ValueError(f"{path}: cannot be unpacked ({error})") from None


def _check(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse a zip before anything of it is written."""
    total, limit = 0, max(SMALL, RATIO * path.stat().st_size)
    if len(members) > MAX_MEMBERS:
        raise ValueError(f"{path}: refused, for it has {len(members)} files")
    names = set()
    for member in members:
        name = member.filename
        total += member.file_size
        kind = stat.S_IFMT(member.external_attr >> 16)
        if not is_inside(name):
            raise ValueError(f"{path}: refused, for {name!r} leads out of its folder")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ValueError(f"{path}: refused, for {name} is a link or device")
        if name.rstrip("/") in names:
            raise ValueError(f"{path}: refused, for it has {name} twice")
        names.add(name.rstrip("/"))
        if total > limit:
            raise ValueError(
                f"{path}: refused, for its {path.stat().st_size >> 10} kB would "
                f"unpack to more than {limit >> 20} MB"
            )


def is_inside(name: str) -> bool:
    """Whether a relative name from elsewhere stays in the folder it is joined to."""
    parts = PurePosixPath(name).parts
    return (
        bool(parts)
        and name.isprintable()
        and not name.startswith(("/", "~"))
        and not any(part == ".." or len(os.fsencode(part)) > 255 for part in parts)
        and "\\" not in name
        and parts[0][1:2] != ":"  # a drive
    )
