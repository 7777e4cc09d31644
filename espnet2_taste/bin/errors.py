"""The border between what a user can mend and what is a fault of the program.

The first becomes one line: the file, id or option, what is wrong with it and the way
out. The second keeps its traceback.
"""

import errno
import json
import os
import re
import sys
import zipfile
from pathlib import Path
from types import FrameType

_PACKAGE = Path(__file__).resolve().parents[1]
#: Their errors about values are about ours, not about the user's.
_NUMERIC = ("torch", "numpy", "scipy")
#: It raises RuntimeErrors about options and data.
_PLAIN = ("espnet2",)
#: What torch says of an error in a process that loads data.
_WORKER = "in DataLoader worker process"
_WAYS_OUT = {
    errno.ENOSPC: "free space, and run again",
    errno.EDQUOT: "free space, and run again",
    errno.EACCES: "choose another folder, or change its permissions",
    errno.EROFS: "choose another folder",
    errno.EMFILE: "raise the limit (ulimit -n), or lower --nj",
    errno.ENOTDIR: "a file is where a folder should be",
    errno.EISDIR: "a folder is where a file should be",
}
_OUT_OF_MEMORY = re.compile("out of memory|can't allocate memory", re.IGNORECASE)
_NO_GPU = re.compile(
    "no CUDA GPUs|NVIDIA driver|CUDA enabled|invalid device ordinal|cudart|NCCL"
)
_NOT_WRITTEN = re.compile("PytorchStreamWriter|unexpected pos|file write failed")


def explain(error: BaseException) -> str | None:
    """One line about what a user can mend; None: a fault of the program.

    Args:
        error: as raised, with its traceback.
    """
    text, raised_in = _one_line(error), _raised_in(error)
    if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(text):
        return f"out of memory: lower --batch_size, --batch_bins or --nj ({text[:200]})"
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        if package == _PACKAGE.name:
            return None
        return f"{package} is not installed: pip install {package} ({text})"
    if isinstance(error, OSError):
        return _explain_os(error, text)
    if isinstance(error, RuntimeError | AssertionError) and _NO_GPU.search(text):
        return f"no usable GPU: --device cpu, or --ngpu 0 ({text[:200]})"
    if isinstance(error, RuntimeError) and _NOT_WRITTEN.search(text):
        return f"{_file_of(error) or 'a file'} cannot be written: is the disk full?"
    if isinstance(error, UnicodeDecodeError) and (file := _file_of(error)):
        return f"{file} is not UTF-8 ({error.reason}), or of another kind"
    if _is_damage(error):
        file = _file_of(error)
        return f"{file} is damaged or of another kind ({text})" if file else text
    if not isinstance(error, ValueError | RuntimeError):
        return None
    if _PACKAGE in Path(raised_in).resolve().parents:
        return text
    if isinstance(error, RuntimeError) and _top(raised_in) not in _PLAIN:
        return None
    return None if _top(raised_in) in _NUMERIC else text


def _one_line(error: BaseException) -> str:
    """Its message; its name, where it has none. Of one in a worker, that one's."""
    text = str(error)
    if _WORKER in text:
        text = text.strip().rpartition("\n")[2].partition(": ")[2]
    return " ".join(text.split()) or type(error).__name__


def _raised_in(error: BaseException) -> str:
    """The file of the program that it was raised in."""
    if _WORKER in str(error) and (files := re.findall('File "(.*?)"', str(error))):
        return files[-1]
    return _frames(error)[-1].f_code.co_filename


def _explain_os(error: OSError, text: str) -> str:
    """Which file, what, and the way out."""
    if error.errno is None or error.strerror is None or error.args[1:] == ():
        return text  # a line of ours or of a library
    file = error.filename or _file_of(error)
    if file is None and (options := getattr(error, "options", None)) is not None:
        folders = (getattr(options, n, None) for n in ("output_dir", "output"))
        file = next((f"below {folder}" for folder in folders if folder), None)
    line = f"{file}: {error.strerror}" if file else text
    way = _WAYS_OUT.get(error.errno)
    return f"{line}: {way}" if way else line


def _is_damage(error: BaseException) -> bool:
    """Whether it says that a file is not what it should be."""
    kinds = (UnicodeDecodeError, json.JSONDecodeError, zipfile.BadZipFile, EOFError)
    names = ("LibsndfileError", "SafetensorError", "YAMLError", "UnpicklingError")
    classes = {cls.__name__ for cls in type(error).__mro__}
    return isinstance(error, kinds) or bool(classes.intersection(names))


def _frames(error: BaseException) -> list[FrameType]:
    """From the command to where it was raised."""
    frames, trace = [], error.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    return frames or [sys._getframe()]


def _top(path: str) -> str:
    """``torch`` of ``.../site-packages/torch/nn/functional.py``."""
    parts = Path(path).parts
    places = [i for i, part in enumerate(parts) if part.endswith("-packages")]
    return parts[places[-1] + 1] if places and places[-1] + 1 < len(parts) else ""


def _file_of(error: BaseException) -> str | None:
    """The file at fault, which Python does not name: the last one that was at hand."""
    for frame in reversed(_frames(error)):
        for name, value in frame.f_locals.items():
            if name.startswith("__") or not isinstance(value, str | Path):
                continue
            known = isinstance(value, Path) or re.search("path|file|name|scp", name)
            if known and len(str(value)) < 4096 and os.path.isfile(value):
                return str(value)
    return None
