"""Downloading one file by its URL, whole or not at all, at a bounded cost."""

import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from espnet2_taste.io.atomic import replacing

#: The largest file, in bytes.
MAX_BYTES = 100 << 30
#: s that a server may be silent, and after which it must have sent ``MIN_RATE`` B/s.
TIMEOUT, MIN_RATE = 30.0, 1000
TRIES = 3


def shown(url: str) -> str:
    """A URL for messages: without what may be a secret in it (user, query)."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{place}{parts.path}"


def check_url(url: str) -> None:
    """Refuse URLs that are no files on the web, or that hold a password.

    Raises:
        ValueError: says which and what to do instead.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{shown(url)}: expected http:// or https://")
    if "@" in parts.netloc:
        raise ValueError(
            f"{shown(url)}: a password in a URL is seen in process lists and logs: put "
            "it in ~/.netrc"
        )


def fetch(url: str, path: Path, check: Callable[[Path], object]) -> Path:
    """Download a file unless it is there; the name is ours, not the server's.

    Args:
        url: http or https.
        path: where the file will be.
        check: raises ValueError on a file that is not whole. What lies at ``path`` and
            does not pass is downloaded again.

    Raises:
        ValueError: see :func:`check_url`; or not whole even then.
        OSError: no connection, not there, too large or too slow.
    """
    check_url(url)
    if path.is_file():
        try:
            check(path)
            return path
        except ValueError as error:
            logging.warning("%s: downloading again", error)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in reversed(range(TRIES)):
        try:
            with replacing(path) as temporary:
                _copy(url, temporary)
                check(temporary)
            return path
        except (OSError, ValueError) as error:
            if not left or not getattr(error, "again", True):
                raise
            logging.warning("%s: %s; again", shown(url), _reason(error))
    raise AssertionError  # the last try returns or raises


def _copy(url: str, path: Path) -> None:
    import requests
    from urllib3.exceptions import HTTPError

    started, size = time.monotonic(), 0
    headers = {"Accept-Encoding": "identity"}
    with (
        requests.get(url, stream=True, timeout=TIMEOUT, headers=headers) as response,
        path.open("wb") as file,
    ):
        if not response.ok:
            raise _refused(f"{shown(url)}: HTTP {response.status_code}")
        if url.startswith("https:") and not response.url.startswith("https:"):
            raise _refused(f"{shown(url)} leads to an unsafe address")
        declared = int(response.headers.get("Content-Length") or 0)
        free = shutil.disk_usage(path.parent).free
        if declared > min(MAX_BYTES, free):
            raise _refused(
                f"{shown(url)} has {declared >> 20} MB: no room in {path.parent}"
            )
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
                raise _refused(f"{shown(url)}: {size} bytes in {waited:.0f} s: stopped")
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
