"""Configurations: YAML files, of which one may say what it changes of another."""

import argparse
import os
from pathlib import Path
from typing import Any

import yaml

from espnet2_taste.io.tables import read_text

#: The largest file that is read, in bytes: a token list of a million words fits.
MAX_BYTES = 16 << 20
#: How many values a file may have where every alias (``*name``) is written out.
MAX_VALUES = 5_000_000


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
    path = Path(path)
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(
            f"{path} has {path.stat().st_size >> 20} MB: no configuration is so large"
        )
    content = parse_yaml(read_text(path), str(path))
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(k, str) for k in content):
        raise ValueError(f"{path} holds no options (name: value)")
    return content


def parse_yaml(text: str, where: str) -> Any:
    """Plain values from YAML, at a cost that its length bounds.

    Aliases that multiply ("billion laughs"), that lead back to themselves, and values
    nested without end are refused before anything is made of them.

    Args:
        text: of a file, or of a command line's option.
        where: the file or option, for messages.

    Raises:
        ValueError: not YAML, a value that it cannot hold, or a costly one.
    """
    try:
        loader = _Loader(text)
        loader.name = where
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {})
        return loader.construct_document(node)
    except _Costly as error:
        raise ValueError(f"{where}: refused, for {error}") from None
    except RecursionError:
        raise ValueError(f"{where}: refused, for values are nested too deep") from None
    except (yaml.YAMLError, ValueError) as error:  # e.g. a 13th month
        if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
            error.problem_mark.buffer = None  # the line itself
        reason = " ".join(str(error).split())
        raise ValueError(f"{where} is not YAML ({reason})") from None


class _Costly(Exception):
    pass


class _Loader(yaml.SafeLoader):
    """PyYAML looks far ahead in every one of the lists that are open."""

    def fetch_flow_collection_start(self, token) -> None:
        if self.flow_level > 100:
            raise _Costly("values are nested too deep")
        super().fetch_flow_collection_start(token)


def _count(node: yaml.Node, counted: dict[int, int | None]) -> int:
    """Values below a node, each time that an alias repeats them."""
    if id(node) in counted:
        if counted[id(node)] is None:
            raise _Costly("a value that holds itself (&name, *name)")
        return counted[id(node)]
    counted[id(node)] = None
    total = 1
    if isinstance(node, yaml.MappingNode):
        total += sum(_count(part, counted) for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        total += sum(_count(part, counted) for part in node.value)
    if total > MAX_VALUES:
        raise _Costly("aliases (*name) make millions of values of it")
    counted[id(node)] = total
    return total


def _resolve(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {k: _resolve(v, folder) for k, v in value.items()}
    if isinstance(value, list):
        return [_resolve(v, folder) for v in value]
    if isinstance(value, str) and value.startswith("./"):
        inside = not os.path.normpath(value).startswith("..")
        return str(folder / value) if inside and (folder / value).exists() else value
    return value


def read_training_config(path: str | Path) -> dict:
    """A YAML file's options; those of the file it names as ``base`` fill the rest.

    ``base`` is relative to the file and may have a base of its own; of a list of bases,
    a later one changes what earlier ones say. Mappings are merged entry by entry,
    anything else is replaced; a ``<part>_conf`` is replaced as a whole where the file
    chooses another ``<part>`` than its base.

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
    bases = conf.pop("base", [])
    bases = bases if isinstance(bases, list) else [bases]
    if not all(isinstance(base, str) for base in bases):
        raise ValueError(f"{path}: base takes a file or a list of files")
    read = {}
    for base in bases:
        read = _merge(read, _read(path.parent / base, (*above, path)))
    return _merge(read, conf)


def _merge(base: dict, changes: dict) -> dict:
    result = dict(base)
    for key, value in changes.items():
        part = key.removesuffix("_conf")
        same_part = part == key or changes.get(part, base.get(part)) == base.get(part)
        if isinstance(value, dict) and isinstance(base.get(key), dict) and same_part:
            value = _merge(base[key], value)
        result[key] = value
    return result
