"""Configurations: YAML files, of which one may say what it changes of another."""

import argparse
from pathlib import Path
from typing import Any

import yaml


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
        with Path(path).open(encoding="utf-8") as file:
            content = yaml.safe_load(file) or {}
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


def read_training_config(path: str | Path) -> dict:
    """A YAML file's options; those of the file it names as ``base`` fill the rest.

    ``base`` is relative to the file and may have a base of its own. Mappings are merged
    entry by entry, anything else is replaced; a ``<part>_conf`` is replaced as a whole
    where the file chooses another ``<part>`` than its base.

    Raises:
        FileNotFoundError: no such file, or no such base.
        ValueError: the file is no mapping, or its bases lead back to it.
    """
    return _read(Path(path), ())


def _read(path: Path, above: tuple[Path, ...]) -> dict:
    named = f", the base of {above[-1]}" if above else ""
    if path.resolve() in (other.resolve() for other in above):
        raise ValueError(f"{path} is its own base, by way of {above[-1]}")
    try:
        conf = read_yaml(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"no file {path}{named}") from None
    base = conf.pop("base", None)
    return (
        conf
        if base is None
        else _merge(_read(path.parent / base, (*above, path)), conf)
    )


def _merge(base: dict, changes: dict) -> dict:
    result = dict(base)
    for key, value in changes.items():
        part = key.removesuffix("_conf")
        same_part = part == key or changes.get(part, base.get(part)) == base.get(part)
        if isinstance(value, dict) and isinstance(base.get(key), dict) and same_part:
            value = _merge(base[key], value)
        result[key] = value
    return result
