"""Downloading one file by its URL, whole or not at all, at a bounded cost."""

import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from espnet2_taste.io.atomic import replacing, write_text
from espnet2_taste.io.identity import digest_once, sha256

#: The largest file, in bytes.
MAX_BYTES = 100 << 30
#: s that a server may be silent, and after which it must have sent ``MIN_RATE`` B/s.
TIMEOUT, MIN_RATE = 30.0, 1000
TRIES = 3
_HINTS = {401: " (it wants a token)", 403: " (it has to be asked for, or is gone)"}


def shown(url: str) -> str:
    """A URL for messages: without what may be a secret in it (user, query)."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(no URL)"
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{place}{parts.path}"


def check_url(url: str, what: str = "a password", remedy: str = "use ~/.netrc"):
    """Refuse URLs of other kinds than http and https, or that hold a secret.

    Args:
        url: given by a user.
        what: secret would stand before its ``@``.
        remedy: where that belongs.

    Raises:
        ValueError: says which and what to do instead.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # of the port, or of an IPv6 address
        valid = False
    if not valid or not url.isprintable() or " " in url:
        raise ValueError(f"{shown(url)}: expected http:// or https://")
    if "@" in parts.netloc:
        raise ValueError(
            f"{shown(url)}: {what} in a URL is seen in process lists and logs: {remedy}"
        )


def fetch(url: str, path: Path, check: Callable[[Path], object]) -> Path:
    """Download a file unless it is there; the name is ours, not the server's.

    Args:
        url: http or https.
        path: where the file will be. Its digest lies beside it: what is there and has
            another one is downloaded again.
        check: raises ValueError on a file that is not whole.

    Raises:
        ValueError: see :func:`check_url`; or not whole even when it is new.
        OSError: no connection, not there, too large or too slow.
    """
    check_url(url)
    known = path.with_name(f"{path.name}.sha256")
    if path.is_file():
        if known.is_file() and known.read_bytes() == digest_once(path).encode():
            return path
        logging.warning("%s is damaged: downloading again", path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in reversed(range(TRIES)):
        try:
            with replacing(path) as temporary:
                _copy(url, temporary)
                check(temporary)
                write_text(known, sha256(temporary))
            return path
        except (OSError, ValueError) as error:
            if not left or not getattr(error, "again", True):
                raise
            logging.warning("%s: %s; again", shown(url), _reason(error))
    raise AssertionError  # the last try returns or raises


def fetch_large(
    url: str, path: Path, check: Callable[[Path], object], pause: float = 1.0
) -> Path:
    """Download a file of which a part is worth keeping, unless it is there and whole.

    ``<path>.part`` holds what has come; the next call goes on from there. As long as
    something comes, a broken connection is tried again.

    Args:
        url: http or https.
        path: where the file will be.
        check: raises ValueError on a file that is not whole; on what has come, too.
        pause: seconds before another try.

    Raises:
        ValueError: see :func:`check_url`; or not whole even when it is new.
        OSError: no connection, not there, too large or too slow.
    """
    check_url(url)
    part, left = path.with_name(f"{path.name}.part"), TRIES
    if path.is_file():
        if _is_whole(path, check):
            return path
        logging.warning("%s is not whole: downloading what is missing", path)
        if not part.exists():
            path.replace(part)  # perhaps another program's half-finished download
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = part.is_file() and _is_whole(part, check)
    while not whole:
        before = _size(part)
        try:
            _copy(url, part, before)
            check(part)
            whole = True
        except (OSError, ValueError) as error:
            left = TRIES if _size(part) > before else left - 1
            if isinstance(error, ValueError):  # all of it came, and it is wrong
                part.unlink()
                left = 0 if not before else TRIES
            if left < 1 or not getattr(error, "again", True):
                if not _size(part):
                    raise
                raise OSError(
                    f"{error}; {_size(part)} bytes are in {part}: run again to go on"
                ) from None
            logging.warning("%s: %s; again", shown(url), _reason(error))
            time.sleep(pause)
    part.replace(path)
    return path


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _is_whole(path: Path, check: Callable[[Path], object]) -> bool:
    try:
        check(path)
    except ValueError:
        return False
    return True


def _copy(url: str, path: Path, start: int = 0) -> None:
    """Write a file, or what of it comes after its first ``start`` bytes behind them."""
    import requests
    from urllib3.exceptions import HTTPError

    started, size = time.monotonic(), 0
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with requests.get(url, stream=True, timeout=TIMEOUT, headers=headers) as response:
        status = response.status_code
        if status == 416 and start:  # nothing comes after what is here: not its start
            path.unlink()
            raise OSError(f"{shown(url)}: {start} bytes of something else; removed")
        if not response.ok:
            error = _refused(f"{shown(url)}: HTTP {status}{_HINTS.get(status, '')}")
            error.again = status >= 500 or status == 429
            raise error
        if url.startswith("https:") and not response.url.startswith("https:"):
            raise _refused(f"{shown(url)} leads to an unsafe address")
        declared = int(response.headers.get("Content-Length") or 0)
        free = shutil.disk_usage(path.parent).free
        if declared > min(MAX_BYTES, free):
            raise _refused(
                f"{shown(url)} has {declared >> 20} MB: no room in {path.parent}"
            )
        with path.open("ab" if status == 206 else "wb") as file:
            while True:
                try:
                    chunk = response.raw.read1(1 << 20)
                except HTTPError as error:
                    raise OSError(f"{shown(url)}: {_reason(error)}") from None
                size += file.write(chunk)
                waited = time.monotonic() - started
                if not chunk:
                    break
                if size > MAX_BYTES:
                    raise _refused(f"{shown(url)} does not end: stopped")
                if waited > TIMEOUT and size < MIN_RATE * waited:
                    raise _refused(
                        f"{shown(url)}: {size} bytes in {waited:.0f} s: stopped"
                    )
            file.flush()
            os.fsync(file.fileno())
    if declared and size != declared:
        raise OSError(f"{shown(url)}: {size} of {declared} bytes came")


def _refused(message: str) -> OSError:
    """An error that another try would not mend."""
    error = OSError(message)
    error.again = False
    return error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
