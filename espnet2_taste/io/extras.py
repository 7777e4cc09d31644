"""Importing optional packages, which the extras of setup.py install."""

from importlib import import_module
from types import ModuleType


def import_extra(module: str, extra: str) -> ModuleType:
    """Import a module that an extra of setup.py brings.

    Raises:
        RuntimeError: it is not installed; the message names the extra.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise RuntimeError(
            f"{module} is not installed: pip install 'espnet2_taste[{extra}]'"
        ) from None
