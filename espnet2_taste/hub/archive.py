"""Zips of packed models: the same files give the same bytes; unpacked once."""

import hashlib
import shutil
import zipfile
import zlib
from pathlib import Path

from espnet2_taste.io.atomic import new_folder, replacing
from espnet2_taste.io.checkpoint import cache_folder

#: The earliest time that a zip can hold; nothing of the machine's clock goes in.
EPOCH = (1980, 1, 1, 0, 0, 0)


def write_zip(folder: Path, path: Path) -> None:
    """Everything in ``folder``, uncompressed (weights do not shrink), by rename.

    Args:
        folder: whose content becomes the top level.
        path: of the zip; what lies there is replaced when the new one is complete.
    """
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for file in sorted(f for f in folder.rglob("*") if f.is_file()):
            name = file.relative_to(folder).as_posix()
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr = 0o644 << 16
            info.file_size = file.stat().st_size  # decides on zip64
            with file.open("rb") as source, archive.open(info, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)


def open_zip(path: str | Path) -> zipfile.ZipFile:
    """Open for reading.

    Raises:
        ValueError: not a zip, or a truncated one; the message names it.
    """
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is no zip or a damaged one ({error})") from None


def unpack(archive: zipfile.ZipFile, last: str, cache_dir: str | None = None) -> Path:
    """The folder of a packed model's zip, unpacked by whoever comes first.

    It is named by what is in the zip, so that a moved zip is not unpacked again and a
    changed one is; jobs that read it at the same time do not disturb each other.

    Args:
        archive: to unpack.
        last: name of a file in it that only a whole folder has.
        cache_dir: see :func:`~espnet2_taste.hub.packed.locate`.

    Raises:
        ValueError: a file in it is damaged; the message names the zip.
    """
    from filelock import FileLock

    content = [(i.filename, i.file_size, i.CRC) for i in archive.infolist()]
    digest = hashlib.sha256(repr(sorted(content)).encode()).hexdigest()[:16]
    folder = cache_folder(cache_dir) / f"{Path(archive.filename).stem}-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / last).is_file():
            shutil.rmtree(folder, ignore_errors=True)
            with new_folder(folder) as temporary:
                try:
                    archive.extractall(temporary)
                except (zipfile.BadZipFile, zlib.error) as error:
                    raise ValueError(
                        f"{archive.filename} is damaged ({error})"
                    ) from None
    return folder
