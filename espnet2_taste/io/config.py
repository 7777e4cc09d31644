"""Training configurations: YAML files that may say what they change of another."""

from pathlib import Path

import yaml


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
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(f"no file {path}{named}") from None
    try:
        conf = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {error}") from None
    if not isinstance(conf, dict):
        raise ValueError(f"{path}: expected options, 'name: value' on each line")
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
