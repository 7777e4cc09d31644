"""Imports that take seconds, put off until something of them is called."""

import sys
from importlib import import_module
from types import ModuleType


def import_when_called(module: str, *functions: str) -> None:
    """Until ``module`` is used, something that looks like it stands in its place.

    Args:
        module: its dotted path; nothing happens if it is imported already.
        functions: of those, ``from module import function`` imports nothing yet; of
            other names it does.
    """

    def find(name: str):
        if name.startswith("__"):  # asked of all modules by those who look for a file
            raise AttributeError(name)
        if sys.modules.get(module) is stand_in:
            del sys.modules[module]
        return getattr(import_module(module), name)

    def put_off(name: str):
        return lambda *args, **options: find(name)(*args, **options)

    stand_in = ModuleType(module)
    stand_in.__getattr__ = find
    for name in functions:
        setattr(stand_in, name, put_off(name))
    sys.modules.setdefault(module, stand_in)
