"""Finding and copying published ONNX files, which have one of a few known names."""

import shutil
from pathlib import Path

#: The extra of setup.py that reads them.
EXTRA = "onnx"


def find_onnx(path: str | Path, names: tuple[str, ...]) -> Path:
    """The file at ``path``, or the first of ``names`` in the folder at ``path``.

    Raises:
        FileNotFoundError: neither; the message says what was looked for.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileNotFoundError(f"no file or folder {path} (wanted: {names[0]})")
    for name in names:
        if (path / name).is_file():
            return path / name
    raise FileNotFoundError(f"{path} has none of {', '.join(names)}")


def copy_onnx(path: str | Path, names: tuple[str, ...], folder: Path) -> None:
    """Copy what :func:`find_onnx` finds to where it finds it again."""
    file = find_onnx(path, names)
    shutil.copyfile(file, folder / (file.name if file.name in names else names[0]))
