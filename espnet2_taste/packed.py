"""A packed model: all parts of a system in one folder, each usable on its own.

    <folder>/parts.yaml   which parts there are, and their choice by name
             taste/       config.yaml, model.pth
             taslm/       config.yaml, model.pth, tokenizer/
             vocoder/  units/  speaker/   what their ``from_pretrained`` opens
             published/   side files of a published checkpoint

Made by ``espnet2_taste.convert.from_published``; opened by the inference classes.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

#: Lists the parts; a folder without it is not a packed model.
MANIFEST = "parts.yaml"
#: Parts that are trained models with a config.yaml; others are chosen by name.
MODELS = ("taste", "taslm")
PUBLISHED = "published"
#: tokenizer of the TASLM, in its part
TOKENIZER = "tokenizer"


def read_parts(folder: str | Path) -> dict[str, str]:
    """``{part: choice}`` of a packed model, {} if the folder is none."""
    manifest = Path(folder) / MANIFEST
    if not manifest.is_file():
        return {}
    return yaml.safe_load(manifest.read_text(encoding="utf-8"))


def find_part(folder: str | Path, part: str) -> tuple[str, str] | None:
    """Choice and folder of a packed model's part; None if ``folder`` is none.

    Raises:
        ValueError: the packed model has no such part; the message lists those it has.
    """
    parts = read_parts(folder)
    if not parts:
        return None
    if part not in parts:
        raise ValueError(f"{folder} has no {part}, only {', '.join(parts)}")
    return parts[part], str(Path(folder) / part)


def load_part(folder: str | Path, part: str, **options):
    """Open a packed model's ``vocoder``, ``units`` or ``speaker``.

    Args:
        folder: of the packed model.
        part: its name.
        options: of the part's ``from_pretrained``, such as ``device``.

    Raises:
        ValueError: the folder has no such part; the message lists those it has.
    """
    from espnet2_taste.speaker import load_speaker_encoder
    from espnet2_taste.units import load_unit_extractor
    from espnet2_taste.vocoder import load_vocoder

    loaders = {
        "vocoder": load_vocoder,
        "units": load_unit_extractor,
        "speaker": load_speaker_encoder,
    }
    found = find_part(folder, part)
    if found is None or part not in loaders:
        raise ValueError(f"{folder} is no packed model with a {part} to load")
    choice, path = found
    return loaders[part](choice, path, **options)


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
