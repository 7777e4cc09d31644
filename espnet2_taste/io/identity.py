"""Files by their content: digests, and a short name for weights in results."""

import hashlib
from functools import cache
from pathlib import Path


def sha256(*files: str | Path) -> str:
    """Hex digest of the content of files, one after the other."""
    digest = hashlib.sha256()
    for file in files:
        with open(file, "rb") as content:
            while block := content.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


@cache
def _digest_of(files: tuple[Path, ...], state: tuple) -> str:
    return sha256(*files)


def digest_once(*files: Path) -> str:
    """:func:`sha256`, for which one process reads files once while nobody touches
    them."""
    stats = [file.stat() for file in files]
    state = tuple((s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in stats)
    return _digest_of(files, state)


def digests(folder: Path) -> dict[str, str]:
    """Name -> digest of every file below a folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): sha256(file) for file in files}


def weights_identity(path: str | Path) -> str:
    """Name and first 16 digits of the SHA-256 of a local file or folder's weights.

    A folder's JSON files are part of it: what tokens mean, how it generates. A name
    that is no path (of a hub) is returned as it is. Folders above are left out, and the
    configuration beside a file, in which they are: results are shared.
    """
    path = Path(path)
    if not path.exists():
        return str(path)
    files = [path]
    if path.is_dir():
        kinds = ("*.safetensors", "*.bin", "*.pth", "*.pt", "*.onnx")
        kinds += ("*.json", "config.*")
        files = sorted({file for kind in kinds for file in path.glob(kind)})
    return f"{path.resolve().name} ({digest_once(*files)[:16]})"
