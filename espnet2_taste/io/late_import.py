"""Imports that take seconds, put off until something of them is called."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
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


@contextmanager
def compiler_left_out() -> Iterator[None]:
    """What is imported in here may name ``torch.compiler.disable`` at no cost.

    To be told that it must not compile a function, torch imports its compiler, which
    takes as long as torch itself. A function decorated in this context tells it when it
    is called and the compiler is there.
    """
    import torch.compiler

    disable = torch.compiler.disable

    def put_off(function: Callable, *args, **options) -> Callable:
        told = None

        @wraps(function)
        def call(*inputs, **names):
            nonlocal told
            if told is None and "torch._dynamo" in sys.modules:
                told = disable(function, *args, **options)
            return (told or function)(*inputs, **names)

        return call

    torch.compiler.disable = put_off
    try:
        yield
    finally:
        torch.compiler.disable = disable
