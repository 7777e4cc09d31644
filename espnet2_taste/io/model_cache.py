"""Downloaded and unpacked models: where they lie, and that they are whole when used.

    <cache>/<digest of the URL>/model.zip    a download
            <zip>-<digest of the zip>/       what it holds, with DIGESTS
            models--<user>--<name>/          huggingface_hub's

What is damaged is made again: a download is downloaded, a zip is unpacked.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from filelock import FileLock

from espnet2_taste.io.archive import open_zip, unpack
from espnet2_taste.io.atomic import new_folder, write_text
from espnet2_taste.io.download import check_url, fetch, shown
from espnet2_taste.io.identity import digest_once, digests

#: Environment variable that says where.
VARIABLE = "TASTE_CACHE"
DEFAULT = "~/.cache/espnet_model_zoo"
#: name -> digest of each file, in an unpacked folder
DIGESTS = ".digests.json"
_HUB = "https://huggingface.co/"


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """Where models are kept: an argument, else ``TASTE_CACHE``, else below HOME.

    Where the home folder cannot be written, it is a folder of the user's own among the
    temporary ones, and a line says so.
    """
    given = cache_dir or os.environ.get(VARIABLE)
    try:
        folder = Path(given or DEFAULT).expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True)
        if given or os.access(folder, os.W_OK) or any(folder.iterdir()):
            return folder
        reason = "Permission denied"
    except (OSError, RuntimeError) as error:  # RuntimeError: nobody's home
        if given:
            raise OSError(f"{given}: no cache can be made there ({error})") from None
        reason = getattr(error, "strerror", None) or error
    return _temporary_cache(str(reason))


@cache
def _temporary_cache(reason: str) -> Path:
    """Of this user alone: others could leave a model there for us to open."""
    folder = Path(tempfile.gettempdir(), f"espnet2_taste-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    stat = folder.lstat()
    if folder.is_symlink() or stat.st_uid != os.getuid() or stat.st_mode & 0o22:
        folder = Path(tempfile.mkdtemp(prefix="espnet2_taste-"))
    logging.warning(
        "%s cannot be written (%s): models are kept in %s; set %s to another folder",
        DEFAULT,
        reason,
        folder,
        VARIABLE,
    )
    return folder


def zip_behind(source: str, cache_dir: str | None = None) -> Path | None:
    """The downloaded zip of a URL or of a name in ESPnet's model zoo; None: a hub's.

    Raises:
        FileNotFoundError: it cannot be downloaded.
        ValueError: what came is no zip.
    """
    url = source
    if "://" not in source:
        from espnet_model_zoo.downloader import ModelDownloader

        url = ModelDownloader(cache_folder(cache_dir)).get_url(source)
    if _hub_name(url) is not None or "://" not in url:
        return None
    check_url(url)
    digest = hashlib.sha256(url.encode()).hexdigest()[:32]
    path = cache_folder(cache_dir) / digest / "model.zip"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            return fetch(url, path, _check_zip)
    except OSError as error:
        raise _not_downloaded(shown(url), error) from None
    except ValueError:
        raise ValueError(f"{shown(url)} is no zip or a damaged one") from None


def _check_zip(path: Path) -> None:
    with open_zip(path) as archive:
        if archive.testzip() is not None:
            raise ValueError(f"{path} is damaged")


def _hub_name(url: str) -> str | None:
    """``user/name`` of a repository's URL."""
    name = url.removeprefix(_HUB).strip("/")
    return name if url.startswith(_HUB) and re.fullmatch(r"[^/]+/[^/]+", name) else None


def _not_downloaded(name: str, error: Exception) -> FileNotFoundError:
    reason = " ".join(str(error).split())[:200]
    return FileNotFoundError(
        f"{name} is no path here and could not be downloaded ({reason})"
    )


def hub_folder(tag: str, cache_dir: str | None = None) -> Path:
    """The folder of ``user/name[@revision]``; files damaged in the cache are renewed.

    Raises:
        FileNotFoundError: it cannot be downloaded.
        ValueError: damaged even when it is new.
    """
    from huggingface_hub import snapshot_download

    name, _, revision = (_hub_name(tag) or tag).partition("@")
    for _ in range(2):
        try:
            folder = snapshot_download(
                name,
                revision=revision or None,
                library_name="espnet",
                cache_dir=cache_folder(cache_dir),
            )
        except (OSError, ValueError) as error:  # httpx's, the hub's
            raise _not_downloaded(tag, error) from None
        damaged = [f for f in sorted(Path(folder).rglob("*")) if not _is_whole(f)]
        if not damaged:
            return Path(folder)
        logging.warning("%s is damaged: downloading again", damaged[0])
        for file in damaged:
            file.resolve().unlink(missing_ok=True)
            file.unlink()
    raise ValueError(f"{tag}: {damaged[0].name} is damaged on the hub")


def _is_whole(file: Path) -> bool:
    """Whether a file of huggingface_hub's cache is what its name there says."""
    if not file.is_symlink() or file.is_dir():
        return True
    blob = file.resolve()
    if not blob.is_file():
        return False
    if re.fullmatch("[0-9a-f]{64}", blob.name):
        return digest_once(blob) == blob.name
    if re.fullmatch("[0-9a-f]{40}", blob.name) and blob.stat().st_size < 1 << 26:
        content = blob.read_bytes()  # a file of git; of some mirrors' a plain SHA-1
        heads = (b"blob %d\0" % len(content), b"")
        found = [hashlib.sha1(head + content).hexdigest() for head in heads]
        return blob.name in found
    return True


def unpacked(
    path: Path, wanted: Iterable[str], cache_dir: str | None = None
) -> Path | None:
    """The folder of a zip, unpacked by whoever comes first; None: not what is wanted.

    It is named by the zip's content, so that a moved zip is not unpacked again and a
    changed one is; jobs that read it at the same time do not disturb each other. Every
    file is checked before use.

    Args:
        path: of the zip.
        wanted: one of these must be in it.
        cache_dir: see :func:`cache_folder`.

    Raises:
        ValueError: see :func:`~espnet2_taste.io.archive.unpack`.
    """
    with open_zip(path) as archive:
        if not set(wanted) & set(archive.namelist()):
            return None
        name = f"{path.stem}-{digest_once(path)[:32]}"
        folder = cache_folder(cache_dir) / name
        if _is_complete(folder):  # also where the cache cannot be written
            return folder
        with FileLock(f"{folder}.lock"):
            if _is_complete(folder):
                return folder
            if folder.exists():
                logging.warning("%s is damaged: unpacking again", folder)
                shutil.rmtree(folder)
            with new_folder(folder) as temporary:
                unpack(archive, temporary)
                write_text(temporary / DIGESTS, json.dumps(digests(temporary)))
    return folder


def _is_complete(folder: Path) -> bool:
    """Whether every file is as it was unpacked."""
    try:
        known = json.loads((folder / DIGESTS).read_text(encoding="utf-8"))
        return all(digest_once(folder / name) == d for name, d in known.items())
    except (OSError, ValueError, AttributeError):
        return False
