"""ESPnet tasks of the parts of a system.

ESPnet's base class of tasks imports adapters (with transformers' wav2vec 2) and the
plots of attention of all its models (with scipy.stats and numba) to name a function of
each. Few trainings call them, and they take a third of the time in which one starts:
they are imported when they are called.
"""

import sys
from importlib import import_module
from types import ModuleType

_LATER = {
    "espnet2.layers.create_adapter": "create_adapter",
    "espnet2.main_funcs.calculate_all_attentions": "calculate_all_attentions",
}


def _import_when_called(module: str, function: str) -> None:
    """Until ``module`` is used, something that looks like it stands in its place."""

    def find(name: str):
        if name.startswith("__"):  # asked of all modules by those who look for a file
            raise AttributeError(name)
        if sys.modules.get(module) is stand_in:
            del sys.modules[module]
        return getattr(import_module(module), name)

    def call(*args, **options):
        return find(function)(*args, **options)

    stand_in = ModuleType(module)
    stand_in.__getattr__ = find
    setattr(stand_in, function, call)
    sys.modules.setdefault(module, stand_in)


for _module, _function in _LATER.items():
    _import_when_called(_module, _function)
