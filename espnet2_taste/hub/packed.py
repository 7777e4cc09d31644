"""A packed model: all parts of a system in one folder or zip, each usable on its own.

    <folder>/parts.yaml   which parts there are, and their choice by name
             meta.yaml    the same for espnet_model_zoo
             README.md    model card
             taste/       config.yaml, model.pth, text tokenizer
             taslm/       config.yaml, model.pth, text tokenizer
             vocoder/  units/  speaker/   what their ``from_pretrained`` opens
             published/   side files of a published checkpoint

Made by ``espnet2_taste.bin.pack`` of what a recipe trained, and by
``espnet2_taste.hub.from_published``; opened by the inference classes, by
:func:`load_part` and by every command, as a folder, zip, URL or tag.
"""

import platform
from importlib.metadata import version
from pathlib import Path

import yaml

from espnet2_taste import __version__
from espnet2_taste.hub.archive import open_zip, unpack
from espnet2_taste.io.checkpoint import download, fetch, is_tag, read_yaml

#: Lists the parts; a folder without it is not a packed model.
MANIFEST = "parts.yaml"
#: espnet_model_zoo's list of files
META = "meta.yaml"
#: Parts that are trained models with a config.yaml; others are chosen by name.
MODELS = ("taste", "taslm")
PUBLISHED = "published"
#: tokenizer of the TASLM, in its part
TOKENIZER = "tokenizer"


def locate(source: str | Path, cache_dir: str | None = None) -> Path:
    """The folder or file of a model, downloaded and unpacked if need be.

    Args:
        source: folder, ``*.pth``, zip, URL of a zip, or tag (``user/name``).
        cache_dir: of downloads and unpacked zips; default: ESPnet's in the home folder.

    Returns:
        a folder or file as it is; a packed model's folder; the checkpoint of a zip that
        ESPnet packed.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: a damaged zip, or one that holds no model; the message names it.
    """
    path, named = Path(source), str(source)
    if is_tag(named):
        path = fetch(named, cache_dir)
        if read_parts(path):
            return path
    elif path.suffix == ".pth" or path.is_dir():  # a checkpoint's reader says more
        return path
    elif not path.exists():
        raise FileNotFoundError(f"{source} does not exist")
    elif path.suffix != ".zip":
        return path
    if path.is_file():
        with open_zip(path) as archive:
            names = set(archive.namelist())
            if MANIFEST in names:
                return unpack(archive, MANIFEST, cache_dir)
        if META not in names:
            raise ValueError(
                f"{source} is no packed model, for it has no {MANIFEST}: "
                "python -m espnet2_taste.bin.pack makes one"
            )
    files = download(named, cache_dir)  # ESPnet packed it
    if "model_file" not in files:
        raise ValueError(f"{source} is of another kind: it has {', '.join(files)}")
    return Path(files["model_file"])


def read_parts(folder: str | Path) -> dict[str, str]:
    """``{part: choice}`` of a packed model, {} if the folder is none.

    Raises:
        ValueError: its list of parts is damaged.
    """
    manifest = Path(folder) / MANIFEST
    return read_yaml(manifest) if manifest.is_file() else {}


def write_parts(folder: Path, parts: dict[str, str]) -> None:
    """Write ``meta.yaml`` and, last, ``parts.yaml``: with it the folder is complete.

    The keys of ``meta.yaml`` are what ESPnet passes to a constructor: those of the
    tokenizer, or of what there is.
    """
    model = next((part for part in MODELS if part in parts), None)
    meta = {
        "espnet": version("espnet"),
        "espnet2_taste": __version__,
        "files": {"model_file": f"{model}/model.pth"} if model else {},
        "python": platform.python_version(),
        "torch": version("torch"),
        "yaml_files": {"train_config": f"{model}/config.yaml"} if model else {},
    }
    write_yaml(folder / META, meta)
    write_yaml(folder / MANIFEST, parts)


def find_part(
    source: str | Path, part: str, cache_dir: str | None = None
) -> tuple[str, str] | None:
    """Choice and folder of a packed model's part; None if ``source`` is none.

    Args:
        source: see :func:`locate`.
        part: its name.
        cache_dir: likewise.

    Raises:
        ValueError: the packed model has no such part; the message lists those it has.
    """
    if not Path(source).exists() and not is_tag(str(source)):
        return None
    folder = locate(source, cache_dir)
    parts = read_parts(folder)
    if not parts:
        return None
    if part not in parts:
        raise ValueError(f"{source} has no {part}, only {', '.join(parts)}")
    return parts[part], str(folder / part)


def load_part(source: str | Path, part: str, cache_dir: str | None = None, **options):
    """Open a packed model's ``vocoder``, ``units`` or ``speaker``.

    Args:
        source: see :func:`locate`.
        part: its name.
        cache_dir: likewise.
        options: of the part's ``from_pretrained``, such as ``device``.

    Raises:
        ValueError: there is no such part; the message lists those there are.
    """
    from espnet2_taste.speaker import load_speaker_encoder
    from espnet2_taste.units import load_unit_extractor
    from espnet2_taste.vocoder import load_vocoder

    loaders = {
        "vocoder": load_vocoder,
        "units": load_unit_extractor,
        "speaker": load_speaker_encoder,
    }
    found = find_part(source, part, cache_dir)
    if found is None or part not in loaders:
        raise ValueError(f"{source} is no packed model with a {part} to load")
    choice, path = found
    return loaders[part](choice, path, **options)


def write_yaml(path: Path, content: dict) -> None:
    """Write a mapping, in its order."""
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
