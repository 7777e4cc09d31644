"""Checking ``*_conf`` options against the arguments that a class has."""

import difflib
import inspect
import sys
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.machinery import all_suffixes
from pathlib import Path
from typing import Any


def check_conf(
    option: str, made: Callable, conf: Any, filled: Collection[str] = ()
) -> None:
    """Refuse arguments that a class or function does not have or cannot take.

    Args:
        option: for messages, e.g. ``--encoder_conf``.
        made: class or function that gets ``conf`` as keyword arguments.
        conf: what a user gave.
        filled: arguments that the program gives itself.

    Raises:
        ValueError: names option, class, and the arguments it has.
    """
    name = getattr(made, "__qualname__", str(made)).removesuffix(".from_pretrained")
    if not isinstance(conf, Mapping):
        raise ValueError(f"{option}: {conf!r}: expected options of {name} (key: value)")
    known = arguments(made)
    if known is None:  # it takes any
        return
    hidden = ("self", "cls", *filled)
    takes = [key for key in known if key not in hidden]
    for key, value in conf.items():
        if key not in takes:
            close = difflib.get_close_matches(str(key), takes, 1)
            raise ValueError(
                f"{option}: {name} has no option {key}"
                + (f" (did you mean {close[0]}?)" if close else "")
                + (f", but {', '.join(takes)}" if takes else "")
            )
        if not fits(value, known[key]):
            hint = known[key]
            wanted = hint.__name__ if isinstance(hint, type) else str(hint)
            number = isinstance(value, str) and fits(1.0, hint)
            raise ValueError(
                f"{option} {key}: {value!r} is no {wanted}, which {name} takes"
                + (" (YAML's numbers: 1.0e-4, not 1e-4)" if number else "")
            )


def refuse_own_code(name: str, folder: Path) -> None:
    """Refuse a class that would be imported from a model's own files.

    A model from elsewhere says of which classes it is. They may be of any package that
    is installed, but of no file that came along: Python looks in the working directory.

    Args:
        name: ``package.module.Class``; a name without dots is none.
        folder: of the model.

    Raises:
        ValueError: it is in there.
    """
    root, (*parts, last) = folder.resolve(), name.split(".")
    if not parts or not all(map(str.isidentifier, [*parts, last])):
        return
    for place in sys.path:
        path = Path(place or ".").resolve().joinpath(*parts)
        files = [path.with_name(path.name + end) for end in all_suffixes()]
        if path.is_relative_to(root) and any(f.exists() for f in [path, *files]):
            raise ValueError(f"{folder} brings code of its own, {name}: refused")


def arguments(made: Callable) -> dict[str, Any] | None:
    """Argument -> its annotation; None: any are taken.

    The ``**kwargs`` of a constructor are those of its base class.
    """
    found: dict[str, Any] = {}
    functions = [made]
    if inspect.isclass(made):
        functions = [c.__init__ for c in made.__mro__ if "__init__" in vars(c)]
    for function in functions:
        try:
            parameters = inspect.signature(function).parameters.values()
            hints = typing.get_type_hints(function)
        except (ValueError, TypeError, NameError, AttributeError):
            return None
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, 3):
                hint = hints.get(parameter.name, parameter.annotation)
                found.setdefault(parameter.name, hint)
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            return found
    return None


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain value (of YAML) is what an annotation says; True if unsure."""
    if value is None or hint in (inspect.Parameter.empty, Any):
        return True
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in typing.get_args(hint))
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    hint = origin or hint
    if not isinstance(hint, type):
        return True
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and value == value
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is bool:
        return isinstance(value, bool) or value in (0, 1)
    if issubclass(hint, str):
        return isinstance(value, str)
    if issubclass(hint, Mapping):
        return isinstance(value, Mapping)
    if issubclass(hint, Sequence):
        return isinstance(value, Sequence) and not isinstance(value, str)
    return not hint.__module__.startswith("torch")
