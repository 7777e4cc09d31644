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

import hashlib
import re
import shutil
import zipfile
import zlib
from pathlib import Path

from espnet2_taste.io.atomic import new_folder
from espnet2_taste.io.config import read_yaml

#: Lists the parts; a folder without it is not a packed model.
MANIFEST = "parts.yaml"
#: espnet_model_zoo's list of files.
META = "meta.yaml"
#: Parts that are trained models with a config.yaml; others are chosen by name.
MODELS = ("taste", "taslm")
PUBLISHED = "published"
#: Folder of the text tokenizer inside ``taslm/``.
TOKENIZER = "tokenizer"
#: Downloads and unpacked zips. espnet_model_zoo's own default may lie in its package.
CACHE = Path("~/.cache/espnet_model_zoo")
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
        path = _fetch(named, cache_dir)
        if path.is_dir() and (path / MANIFEST).is_file():
            return path
    elif not path.exists() and path.suffix != ".pth":
        raise FileNotFoundError(f"{source} does not exist")
    elif path.is_dir() or path.suffix != ".zip":
        return path
    if path.is_file():
        with _open_zip(path) as archive:
            names = set(archive.namelist())
            if MANIFEST in names:
                return _unpack(archive, cache_dir)
        if META not in names:
            raise ValueError(
                f"{source} is no packed model, for it has no {MANIFEST}: "
                "python -m espnet2_taste.bin.pack makes one"
            )
    files = download(named, cache_dir)  # ESPnet packed it
    if "model_file" not in files:
        raise ValueError(f"{source} is of another kind: it has {', '.join(files)}")
    return Path(files["model_file"])


def download(source: str, cache_dir: str | None = None) -> dict[str, str]:
    """The files of what ESPnet packed (tag, URL or zip), by their names in ESPnet.

    Their configuration is espnet_model_zoo's, which has put in the folder's path where
    the packed one names other files.

    Raises:
        FileNotFoundError: it cannot be had.
    """
    if not is_tag(source) and not Path(source).exists():
        raise FileNotFoundError(f"{source} does not exist")
    return _model_zoo("download_and_unpack", source, cache_dir)


def find_checkpoint(source: str | Path, part: str | None = None) -> Path:
    """The checkpoint to use of an experiment folder or of a packed model's part.

    That is the only ``valid.*.best.pth``; of ``valid.acc.best.pth`` and
    ``valid.loss.best.pth`` the first; without any, the only ``*.pth``.

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
        return found[0]
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
    return parts[part], str(folder / part)


def _cache_folder(cache_dir: str | Path | None) -> Path:
    return Path(cache_dir or CACHE).expanduser().absolute()


def _fetch(tag: str, cache_dir: str | None) -> Path:
    """The zip behind a URL as it is published, or a hub's folder.

    A zip that was downloaded before needs no network.
    """
    from espnet_model_zoo.downloader import str_to_hash

    kept = _cache_folder(cache_dir) / str_to_hash(tag)
    if (kept / "url").is_file():  # complete; the zoo would ask for its name again
        for file in kept.iterdir():
            if zipfile.is_zipfile(file):
                return file
    return Path(_model_zoo("download", tag, cache_dir))


def _model_zoo(method: str, tag: str, cache_dir: str | None):
    from espnet_model_zoo.downloader import ModelDownloader

    zoo = ModelDownloader(cachedir=_cache_folder(cache_dir))
    try:
        return getattr(zoo, method)(tag)
    except (OSError, ValueError) as error:  # requests', httpx's, the hub's
        reason = " ".join(str(error).split())
        raise FileNotFoundError(
            f"{tag} is no path here and could not be downloaded ({reason[:200]})"
        ) from None


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is no zip or a damaged one ({error})") from None


def _unpack(archive: zipfile.ZipFile, cache_dir: str | None) -> Path:
    """The folder of a packed model's zip, unpacked by whoever comes first.

    It is named by what is in the zip, so that a moved zip is not unpacked again and a
    changed one is; jobs that read it at the same time do not disturb each other.
    """
    from filelock import FileLock

    content = [(i.filename, i.file_size, i.CRC) for i in archive.infolist()]
    digest = hashlib.sha256(repr(sorted(content)).encode()).hexdigest()[:16]
    folder = _cache_folder(cache_dir) / f"{Path(archive.filename).stem}-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / MANIFEST).is_file():
            shutil.rmtree(folder, ignore_errors=True)
            with new_folder(folder) as temporary:
                try:
                    archive.extractall(temporary)
                except (zipfile.BadZipFile, zlib.error) as error:
                    raise ValueError(
                        f"{archive.filename} is damaged ({error})"
                    ) from None
    return folder
