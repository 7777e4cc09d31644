"""Taking a trained model out of its experiment folder, with the files that it names."""

import filecmp
import shutil
from collections.abc import Iterable
from pathlib import Path

from espnet2.train.class_choices import ClassChoices

from espnet2_taste.io.checkpoint import load_state
from espnet2_taste.io.config import read_arguments
from espnet2_taste.io.model_folder import save_state


class Carrier:
    """Copies what options name into a folder.

    Args:
        experiment: whose options they are; relative paths start at the working
            directory, or at a parent of this.
        folder: to copy to.
    """

    def __init__(self, experiment: Path, folder: Path):
        self.bases = [Path.cwd(), *experiment.resolve().parents]
        self.folder = folder

    def find(self, name: str) -> Path:
        """The existing path that ``name`` means, else ``name`` itself (a hub id)."""
        found = (base / name for base in self.bases if (base / name).exists())
        return next(found, Path(name))

    def carry(self, option: str, value):
        """An option's value with ``./name`` for every file, which is copied."""
        if isinstance(value, dict):
            return {k: self.carry(f"{option}.{k}", v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.carry(option, v) for v in value]
        if not isinstance(value, str) or value.startswith("./") and self._own(value):
            return value
        path = self.find(value)
        is_path = "/" in value or option.endswith("token_model")
        if is_path and path.is_file():
            return self.copy(path)
        if value.startswith(("/", "~", "./", "../")) or is_path and path.is_dir():
            problem = "a folder" if path.is_dir() else "not there"
            raise ValueError(
                f"{option}: {value} is {problem} and cannot be packed: pack in the "
                "recipe's folder, or name a file or hub id"
            )
        return value

    def _own(self, value: str) -> bool:
        return (self.folder / value).exists()

    def copy(self, path: Path) -> str:
        """Copy a file and return its name in the folder.

        A number is appended where another file has that name already.
        """
        name, number = path.name, 1
        while (self.folder / name).exists():
            if filecmp.cmp(path, self.folder / name, shallow=False):
                return f"./{name}"
            number += 1
            name = f"{path.stem}_{number}{path.suffix}"
        shutil.copyfile(path, self.folder / name)
        return f"./{name}"


def axis_names(choices: Iterable) -> list[str]:
    """Names of the two options (``encoder``, ``encoder_conf``) of each ClassChoices.

    Whatever else is among ``choices`` is passed over.
    """
    axes = [c.name for c in choices if isinstance(c, ClassChoices)]
    return [*axes, *(f"{axis}_conf" for axis in axes)]


def pack_espnet_model(
    config: Path, checkpoint: Path, folder: Path, names: list[str]
) -> None:
    """``config.yaml`` and ``model.pth`` of any model that ESPnet trained.

    Args:
        config: its training options.
        checkpoint: its weights.
        folder: to fill.
        names: of those that build it.
    """
    given = read_arguments(config)
    carrier = Carrier(config.parent, folder)
    options = {
        name: carrier.carry(name, getattr(given, name))
        for name in names
        if hasattr(given, name)
    }
    save_state(folder, load_state(checkpoint), options)
