"""Named classes of the inference axes, imported only when asked for.

ESPnet's ClassChoices holds classes, so it imports every implementation (and its
dependencies) to offer one. Units, vocoders and speaker encoders are chosen in bins
that start thousands of times on a cluster: here a choice is a dotted path.
"""

from importlib import import_module


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
        """The choices, for argparse."""
        return list(self.classes)

    def get_class(self, name: str) -> type:
        """Import and return the class called ``name``.

        Raises:
            ValueError: no such choice; the message lists those that exist.
        """
        if name not in self.classes:
            raise ValueError(
                f"{name} is no {self.axis}; choose from {', '.join(self.names())}"
            )
        module, _, cls = self.classes[name].rpartition(".")
        return getattr(import_module(module), cls)
