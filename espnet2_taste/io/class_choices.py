"""ESPnet's ClassChoices, which also take classes from elsewhere by dotted path."""

from argparse import Namespace
from importlib import import_module

from espnet2.train.class_choices import ClassChoices as ESPnetClassChoices

from espnet2_taste.io.class_conf import check_conf


class ClassChoices(ESPnetClassChoices):
    """``--encoder whisper``, or ``--encoder my_package.my_module.MyEncoder``.

    A class of your own needs no entry here: it has to be importable and a subclass of
    the axis' base class.
    """

    def get_class(self, name: str | None) -> type | None:
        """The class of a name or dotted path; None for None.

        Raises:
            ValueError: an unknown name, no such class, or one of another kind.
        """
        if name is None or "." not in name:
            return super().get_class(name)
        module, _, cls = name.rpartition(".")
        try:
            found = getattr(import_module(module), cls)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"--{self.name} {name}: {error}") from None
        if not (isinstance(found, type) and issubclass(found, self.base_type)):
            raise ValueError(
                f"--{self.name} {name} is no subclass of {self.base_type.__name__}"
            )
        return found

    def build(self, args: Namespace, *given, **filled):
        """An object of the class that ``args`` choose, with what ``<axis>_conf`` says.

        Args:
            args: training options.
            given, filled: further arguments, which no configuration says.

        Raises:
            ValueError: see :func:`~espnet2_taste.io.class_conf.check_conf`.
        """
        name, conf = (getattr(args, f"{self.name}{end}") for end in ("", "_conf"))
        cls = self.get_class(name)
        check_conf(f"--{self.name}_conf", cls, conf, filled)
        return cls(*given, **filled, **conf)

    def add_arguments(self, parser) -> None:
        """Add ``--<axis>`` and ``--<axis>_conf``."""
        super().add_arguments(parser)
        action = parser._option_string_actions[f"--{self.name}"]
        action.choices = _NamesAndPaths(action.choices)
        lowered = action.type
        action.type = lambda text: text if "." in text else lowered(text)


class _NamesAndPaths(tuple):
    """The names that argparse lists; what has a dot is let through."""

    def __contains__(self, name) -> bool:
        return "." in (name or "") or super().__contains__(name)
