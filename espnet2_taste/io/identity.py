"""A short name for weights, to say in results which ones measured something."""

import hashlib
from pathlib import Path


def weights_identity(path: str | Path) -> str:
    """Name and first eight digits of the SHA-1 of a local file or folder's weights.

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
    digest = hashlib.sha1()
    for file in files:
        with open(file, "rb") as content:
            while block := content.read(1 << 24):
                digest.update(block)
    return f"{path.resolve().name} ({digest.hexdigest()[:8]})"
