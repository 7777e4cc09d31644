"""Classes that are chosen by name and imported only when they are used.

ESPnet's ClassChoices holds classes, so it imports every implementation (and its
dependencies) to offer one. Units, vocoders and speaker encoders are chosen in bins
that start thousands of times on a cluster: here a choice is a dotted path, and a
dotted path is a choice: ``my_package.my_module.MyUnits`` needs no entry here.
"""

from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path

from espnet2_taste.io.class_conf import check_conf


class AbsPart(ABC):
    """What a choice is: a class that opens its own folders or files."""

    @classmethod
    @abstractmethod
    def from_pretrained(cls, path: str, device: str = "cpu") -> "AbsPart":
        """Load from a folder or file made by training (or published weights)."""

    @classmethod
    @abstractmethod
    def pack(cls, path: str, folder: Path) -> None:
        """Write what ``from_pretrained(folder)`` opens like ``path``, and no more.

        It may take those options of ``from_pretrained`` that change what is packed.
        """


class LazyChoices:
    """``name -> class`` by dotted path.

    Args:
        axis: what is chosen, for messages.
        classes: name -> ``package.module.Class``.
    """

    def __init__(self, axis: str, classes: dict[str, str]):
        self.axis = axis
        self.classes = classes

    def names(self) -> list[str]:
        """The choices, for messages and ``--help``."""
        return list(self.classes)

    def get_class(self, name: str) -> type:
        """Import and return the class called ``name``.

        Args:
            name: one of :meth:`names`, or ``package.module.Class`` of your own.

        Raises:
            ValueError: no such choice; the message lists those that exist.
        """
        path = self.classes.get(name, name)
        module, _, cls = path.rpartition(".")
        if not module:
            raise ValueError(
                f"{name} is no {self.axis}; choose from {', '.join(self.names())}, or "
                "give package.module.Class"
            )
        try:
            return getattr(import_module(module), cls)
        except (ImportError, AttributeError) as error:
            if name in self.classes:
                raise
            raise ValueError(f"{name} is no {self.axis}: {error}") from None

    def _function(self, name: str, function: str):
        try:
            return getattr(self.get_class(name), function)
        except AttributeError as error:
            raise ValueError(f"{name} is no {self.axis}: {error}") from None

    def load(self, name: str, path: str, **conf):
        """``from_pretrained(path, **conf)`` of the class called ``name``.

        Raises:
            ValueError: an option that the class does not know.
        """
        opener = self._function(name, "from_pretrained")
        check_conf(f"{self.axis} {name}", opener, conf, ["path"])
        return opener(path, **conf)

    def pack(self, name: str, path: str, folder, **conf) -> None:
        """``pack(path, folder, **conf)`` of the class called ``name``.

        Raises:
            ValueError: an option that the class does not know.
        """
        packer = self._function(name, "pack")
        check_conf(f"{self.axis} {name}", packer, conf, ["path", "folder"])
        packer(path, folder, **conf)
