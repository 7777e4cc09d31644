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
def _digest_of(path: Path, state: tuple) -> str:
    return sha256(path)


def digest_once(path: Path) -> str:
    """SHA-256 of a file, which one process reads once while nobody touches it."""
    stat = path.stat()
    return _digest_of(path, (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))


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
    return f"{path.resolve().name} ({sha256(*files)[:16]})"
