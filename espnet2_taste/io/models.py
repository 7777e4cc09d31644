"""From what a user names to the files of a model.

A model is named by a path or by what has to be downloaded. It is an experiment folder,
a checkpoint, or a *packed model*: all parts of a system in one folder or zip.

    <folder>/parts.yaml   part -> its class by name ("model" for taste and taslm)
             meta.yaml    the same for espnet_model_zoo
             README.md    model card
             taste/       config.yaml, model.pth, text tokenizer
             taslm/       config.yaml, model.pth, text tokenizer
             vocoder/  units/  speaker/   what their ``from_pretrained`` opens
             published/   side files of a published checkpoint

``espnet2_taste.hub`` makes packed models; this module finds what is in them.
"""

import re
from pathlib import Path

import yaml

from espnet2_taste.io.archive import is_inside
from espnet2_taste.io.atomic import write_text
from espnet2_taste.io.class_conf import refuse_own_code
from espnet2_taste.io.config import read_yaml
from espnet2_taste.io.model_cache import hub_folder, unpacked, zip_behind

#: Lists the parts; a folder without it is not a packed model.
MANIFEST = "parts.yaml"
#: espnet_model_zoo's list of files.
META = "meta.yaml"
#: Parts that are trained models with a config.yaml; others are chosen by name.
MODELS = ("taste", "taslm")
PUBLISHED = "published"
#: Folder of the text tokenizer inside ``taslm/``.
TOKENIZER = "tokenizer"
#: Top folders of a recipe: a name that starts with one is a path even if it is absent.
_RECIPE_FOLDERS = ("data", "downloads", "dump", "exp")


def is_tag(source: str) -> bool:
    """Whether ``source`` has to be downloaded: a URL, or a hub's ``user/name[@rev]``.

    What exists is always a path. Of what does not exist, ``user/name`` is a tag unless
    it starts with a recipe's folder (``exp/taste``) or ends in ``.zip`` or ``.pth``.
    """
    if "://" in source:
        return True
    tag = re.fullmatch(r"(\w[\w.-]*)/[\w.-]+(@\S+)?", source)
    if tag is None or Path(source).exists():
        return False
    return not (tag[1] in _RECIPE_FOLDERS or source.endswith((".zip", ".pth")))


def locate(source: str | Path, cache_dir: str | None = None) -> Path:
    """The folder or file of a model, downloaded and unpacked if need be.

    Args:
        source: folder, ``*.pth``, zip, URL of a zip, or tag (``user/name``).
        cache_dir: of downloads and unpacked zips, see
            :func:`~espnet2_taste.io.model_cache.cache_folder`.

    Returns:
        a folder or file as it is; a packed model's folder; the checkpoint of a zip that
        ESPnet packed.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: a damaged zip, or one that holds no model; the message names it.
    """
    path, named = Path(source), is_tag(str(source))
    if not named and not path.exists() and path.suffix != ".pth":
        raise FileNotFoundError(f"{source} does not exist")
    if not named and (path.is_dir() or path.suffix != ".zip"):
        return path
    folder = _packed(source, cache_dir)
    if (folder / MANIFEST).is_file():
        return folder
    files = _espnet_files(folder)
    if "model_file" not in files:
        raise ValueError(f"{source} is of another kind: it has {', '.join(files)}")
    return Path(files["model_file"])


def download(source: str, cache_dir: str | None = None) -> dict[str, str]:
    """The files of what ESPnet packed (tag, URL or zip), by their names in ESPnet.

    Raises:
        FileNotFoundError: it cannot be had.
        ValueError: damaged, or something else.
    """
    if not is_tag(source) and not Path(source).exists():
        raise FileNotFoundError(f"{source} does not exist")
    return _espnet_files(_packed(source, cache_dir))


def _packed(source: str | Path, cache_dir: str | None) -> Path:
    """The folder of a tag, URL or zip."""
    path = Path(source)
    if is_tag(str(source)):
        path = zip_behind(str(source), cache_dir)
    if path is None:
        folder = hub_folder(str(source), cache_dir)
    else:
        folder = unpacked(path, (MANIFEST, META), cache_dir)
    if folder is None or not any((folder / n).is_file() for n in (MANIFEST, META)):
        raise ValueError(
            f"{source} is no packed model, for it has no {MANIFEST}: "
            "python -m espnet2_taste.bin.pack makes one"
        )
    return folder


def _espnet_files(folder: Path) -> dict[str, str]:
    """Files that ``meta.yaml`` names, by their names in ESPnet.

    Of a configuration a copy is returned, ``<name>.resolved.yaml``, in which the names
    of files in the folder are paths.
    """
    meta, found = read_yaml(folder / META), {}
    for kind in ("yaml_files", "files"):
        entries = meta.get(kind)
        for name, value in (entries if isinstance(entries, dict) else {}).items():
            if not is_inside(str(value)):
                raise ValueError(
                    f"{folder / META}: refused, for {value!r} leads out of its folder"
                )
            path = folder / str(value)
            if not path.is_file():
                raise ValueError(f"{folder / META}: {value} is not there")
            if kind == "yaml_files":
                copy = path.with_name(f"{path.stem}.resolved.yaml")
                text = yaml.safe_dump(_with_paths(read_yaml(path), folder))
                if not copy.is_file() or copy.read_text(encoding="utf-8") != text:
                    write_text(copy, text)
                path = copy
            found[str(name)] = str(path)
    return found


def _with_paths(value, folder: Path):
    """Strings that name a file of the folder become its path."""
    if isinstance(value, dict):
        return {k: _with_paths(v, folder) for k, v in value.items()}
    if isinstance(value, list):
        return [_with_paths(v, folder) for v in value]
    if isinstance(value, str) and is_inside(value):
        path = folder / value
        if path.is_file() or "/" in value and path.is_dir():
            return str(path)
    return value


def find_checkpoint(source: str | Path, part: str | None = None) -> Path:
    """The checkpoint to use of an experiment folder or of a packed model's part.

    That is ``valid.loss.best.pth``, which recipes go on with, though there be
    ``valid.acc.best.pth`` beside it; else the only ``valid.*.best.pth``; without any,
    the only ``*.pth``.

    Args:
        source: folder, or a checkpoint, which is returned as it is.
        part: of a packed model.

    Raises:
        FileNotFoundError: none, or several to choose from; the message lists them.
    """
    folder = Path(source)
    if not folder.is_dir():
        return folder
    parts = read_parts(folder)
    if part in parts:
        folder = folder / part
    elif parts:
        raise FileNotFoundError(f"{folder} has no {part}, only {', '.join(parts)}")
    found = sorted(folder.glob("valid.*.best.pth")) or sorted(folder.glob("*.pth"))
    names = [file.name for file in found]
    if len(found) == 1 or names == ["valid.acc.best.pth", "valid.loss.best.pth"]:
        return found[-1]
    if not found and (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"{folder} is as published: python -m espnet2_taste.bin.convert "
            "makes a folder of it that can be opened"
        )
    raise FileNotFoundError(
        f"{folder} has {', '.join(names) or 'no .pth file'}: name one checkpoint file"
    )


def read_parts(folder: str | Path) -> dict[str, str]:
    """``{part: choice}`` of a packed model, {} if the folder is none.

    Raises:
        ValueError: its list of parts is damaged.
    """
    manifest = Path(folder) / MANIFEST
    return read_yaml(manifest) if manifest.is_file() else {}


def locate_tokenizer(model: str | Path) -> tuple[Path, dict[str, str]]:
    """Folder and parts of a packed model that has a tokenizer.

    Raises:
        ValueError: it is no packed model, or has none.
    """
    folder = locate(model)
    parts = read_parts(folder)
    if "taste" not in parts:
        raise ValueError(
            f"{model} is no packed model with a tokenizer: python -m "
            "espnet2_taste.bin.pack makes one"
        )
    return folder, parts


def find_part(
    source: str | Path, part: str, cache_dir: str | None = None
) -> tuple[str, str] | None:
    """Choice and folder of a packed model's part; None if ``source`` is none.

    Args:
        source: see :func:`locate`.
        part: its name.
        cache_dir: see :func:`locate`.

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
    refuse_own_code(parts[part], folder)
    return parts[part], str(folder / part)
