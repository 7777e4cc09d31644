"""Checkpoints, checked as ESPnet does not: loading, initialisation, freezing."""

import argparse
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

#: Of downloads and unpacked zips: espnet_model_zoo's own may lie in its package.
CACHE = Path("~/.cache/espnet_model_zoo")


def is_tag(source: str) -> bool:
    """Whether it is an URL or ``user/name`` rather than a path."""
    if "://" in source:
        return True
    path = Path(source)
    starts_here = source.startswith((".", "/", "~")) or path.parent.exists()
    return not (starts_here or path.exists() or path.suffix in (".zip", ".pth"))


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """``cache_dir`` or the default, from anywhere."""
    return Path(cache_dir or CACHE).expanduser().absolute()


def fetch(tag: str, cache_dir: str | None = None) -> Path:
    """Download by URL or tag: a zip as it is published, or a hub's folder.

    A zip that was downloaded before needs no network.

    Raises:
        FileNotFoundError: it cannot be had.
    """
    from espnet_model_zoo.downloader import str_to_hash

    kept = cache_folder(cache_dir) / str_to_hash(tag)
    if (kept / "url").is_file():  # complete; the zoo would ask for its name again
        for file in kept.iterdir():
            if zipfile.is_zipfile(file):
                return file
    return Path(_model_zoo("download", tag, cache_dir))


def download(tag: str, cache_dir: str | None = None) -> dict[str, str]:
    """Fetch what ESPnet packed by tag, URL or zip, and unpack it; its file names.

    Raises:
        FileNotFoundError: it cannot be had.
    """
    if not is_tag(tag) and not Path(tag).exists():
        raise FileNotFoundError(f"{tag} does not exist")
    return _model_zoo("download_and_unpack", tag, cache_dir)


def _model_zoo(method: str, tag: str, cache_dir: str | None):
    from espnet_model_zoo.downloader import ModelDownloader

    zoo = ModelDownloader(cachedir=cache_folder(cache_dir))
    try:
        return getattr(zoo, method)(tag)
    except (OSError, ValueError) as error:  # requests', httpx's, the hub's
        reason = " ".join(str(error).split())
        raise FileNotFoundError(
            f"{tag} is no path here and could not be downloaded ({reason[:200]})"
        ) from None


def load_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a state dict without running code from the file, or all of it at once.

    Raises:
        FileNotFoundError: no such file.
        RuntimeError: not a state dict of tensors (a tampered or foreign file).
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        state = torch.load(
            path,
            map_location="cpu",
            weights_only=True,
            mmap=zipfile.is_zipfile(path),  # older files cannot
        )
    except Exception as error:
        raise RuntimeError(
            f"{path} is not a plain checkpoint of tensors and was not loaded "
            f"({type(error).__name__}); take it from a source you trust"
        ) from None
    if not isinstance(state, dict):
        raise RuntimeError(f"{path} does not hold a state dict")
    return state


def check_init_freeze(args: argparse.Namespace, model: torch.nn.Module) -> None:
    """Refuse ``--init_param`` and ``--freeze_param`` that would change nothing.

    ESPnet accepts a misspelt key in silence and trains from scratch.

    Raises:
        ValueError: names the entry and what the model or file has instead.
    """
    names = [name for name, _ in model.named_parameters()]
    tops = sorted({name.split(".")[0] for name in names})
    for key in getattr(args, "freeze_param", None) or []:
        if not any(name == key or name.startswith(key + ".") for name in names):
            raise ValueError(
                f"--freeze_param {key} matches no parameter (top level: {tops})"
            )
    for entry in getattr(args, "init_param", None) or []:
        path, src, dst, exclude = (entry.split(":") + ["", "", ""])[:4]
        state = load_state(path)
        state = {
            k: v
            for k, v in state.items()
            if not any(k.startswith(e) for e in exclude.split(",") if e)
        }
        if src:
            state = {
                k[len(src) + 1 :]: v
                for k, v in state.items()
                if k.startswith(src + ".")
            }
        if dst and not any(k.startswith(dst + ".") for k in model.state_dict()):
            raise ValueError(
                f"--init_param {entry}: the model has no {dst!r} (top level: {tops})"
            )
        prefix = dst + "." if dst else ""
        if not any(prefix + k in model.state_dict() for k in state):
            raise ValueError(
                f"--init_param {entry}: no key of the file matches the model "
                f"(top level: {tops})"
            )


def read_arguments(config_file: str | Path) -> argparse.Namespace:
    """Training arguments from config.yaml.

    Paths in it that start with ``./`` and exist beside the file are its own: they are
    returned so that they can be opened from any folder.

    Raises:
        FileNotFoundError: no such file.
        ValueError: see :func:`read_yaml`.
    """
    if not Path(config_file).is_file():
        raise FileNotFoundError(f"no training configuration at {config_file}")
    folder = Path(config_file).absolute().parent  # a hub's cache holds links
    return argparse.Namespace(**_resolve(read_yaml(config_file), folder))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Options from a YAML file; an empty file has none.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a mapping of names to values; the message names the file.
    """
    try:
        with Path(path).open(encoding="utf-8") as f:
            content = yaml.safe_load(f) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is not YAML ({reason})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no options (name: value)")
    return content


def _resolve(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {k: _resolve(v, folder) for k, v in value.items()}
    if isinstance(value, list):
        return [_resolve(v, folder) for v in value]
    if isinstance(value, str) and value.startswith("./"):
        return str(folder / value) if (folder / value).exists() else value
    return value


def describe_mismatch(
    wanted: Mapping[str, torch.Size], given: Mapping[str, torch.Size], limit: int = 5
) -> str:
    """What is wrong with the tensors of a checkpoint, all kinds at once.

    Args:
        wanted: name -> shape of the model's.
        given: name -> shape of the checkpoint's.
        limit: names listed of each kind.

    Returns:
        "" if nothing is.
    """
    shapes = {
        f"{k} {list(given[k])} instead of {list(wanted[k])}"
        for k in wanted.keys() & given.keys()
        if tuple(wanted[k]) != tuple(given[k])
    }
    return "; ".join(
        f"{kind} ({len(names)}): {', '.join(sorted(names)[:limit])}"
        + (", ..." if len(names) > limit else "")
        for kind, names in (
            ("missing", wanted.keys() - given.keys()),
            ("unexpected", given.keys() - wanted.keys()),
            ("other shape", shapes),
        )
        if names
    )


def build_model_from_file(build, config_file, model_file, device: str = "cpu"):
    """Build a model for inference and load it strictly.

    Unlike ``AbsTask.build_model_from_file`` a foreign checkpoint is an error that
    lists the keys, and no code from the file runs.

    Args:
        build: training arguments -> model, as in ``taste.build``.
        config_file: config.yaml saved by training; None: beside ``model_file``.
        model_file: ``*.pth`` saved by training.
        device: torch device.

    Returns:
        the model in eval mode and the training arguments.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the configuration is of another kind of model.
        RuntimeError: the checkpoint does not fit the configuration.
    """
    config_file = Path(config_file or Path(model_file).parent / "config.yaml")
    args = read_arguments(config_file)
    args.init_param, args.freeze_param = [], []
    state = load_state(model_file)
    try:
        model = build(args)
    except AttributeError as error:
        if not isinstance(error.obj, argparse.Namespace):
            raise
        raise ValueError(
            f"{config_file} has no {error.name}: it is of another kind of model"
        ) from None
    problems = describe_mismatch(
        {k: v.shape for k, v in model.state_dict().items()},
        {k: v.shape for k, v in state.items()},
    )
    if problems:
        raise RuntimeError(f"{model_file} does not fit {config_file}: {problems}")
    model.load_state_dict(state)
    return model.to(device).eval(), args
