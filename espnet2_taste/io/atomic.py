"""Files and folders that appear under their name when complete: by rename."""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path, durable: bool = False) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; renamed to it at the end.

    What lies at ``path`` stays until then, and for good if writing fails. Two processes
    never have the same name: the last to end wins.

    Args:
        path: of the file.
        durable: whether it survives that the machine dies (slower).

    Raises:
        OSError: of writing; it names ``path``.
    """
    path = Path(path)
    with _own_name(path) as temporary:
        try:
            yield temporary
            if durable:
                with open(temporary, "rb+") as file:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException as error:
            temporary.unlink(missing_ok=True)
            unnamed = isinstance(error, OSError) and error.errno is not None
            if unnamed and error.filename in (None, str(temporary)):
                raise type(error)(error.errno, error.strerror, str(path)) from None
            raise


@contextmanager
def _own_name(path: Path) -> Iterator[Path]:
    """A name beside ``path`` that no other process writes to.

    It is the same for all (what a kill left is overwritten), unless one is at work.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    mine = False
    while not mine:
        with open(temporary, "ab") as claim:
            try:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                host = os.uname().nodename
                yield path.with_name(f".{path.name}.{host}.{os.getpid()}.tmp")
                return
            except OSError:  # a file system without locks
                pass
            try:  # or was it renamed meanwhile?
                mine = os.path.samestat(os.stat(temporary), os.fstat(claim.fileno()))
            except FileNotFoundError:
                continue
            if mine:
                yield temporary


def write_text(path: str | Path, text: str) -> None:
    """Write a file of UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_lines(path: str | Path, lines: Iterable[str]) -> int:
    """Write a file of lines, given without their ends; return how many."""
    count = 0
    with (
        replacing(path) as temporary,
        open(temporary, "w", encoding="utf-8", newline="\n") as file,
    ):
        for line in lines:
            file.write(f"{line}\n")
            count += 1
    return count


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """A folder that appears under its name when everything in it is written.

    Raises:
        FileExistsError: there is something at ``path``.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{path} exists: remove it or choose another folder")
    temporary = path.with_name(path.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside ``path`` that takes its place when all is written.

    What lies at ``path`` stays until then, and for good if writing fails.

    Raises:
        FileExistsError: ``path`` is a file.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file, where a folder is to be written")
    new, old = (path.with_name(f".{path.name}.{age}") for age in ("new", "old"))
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            os.replace(path, old)
        os.replace(new, path)
    finally:
        for folder in (new, old):
            shutil.rmtree(folder, ignore_errors=True)
