"""Commands: ``python -m espnet2_taste.bin.<name> --help``."""

import logging
import sys
import traceback
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import wraps
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
LOG_FORMAT = "%(asctime)s (%(module)s:%(lineno)d) %(levelname)s: %(message)s"


def command(get_parser: Callable[[], ArgumentParser]) -> Callable:
    """Decorator: ``work(args)`` becomes ``main(words)``, which parses the words.

    Without words, those of the command line are parsed. The log goes to stderr.
    """

    def decorate(work: Callable[[Namespace], None]) -> Callable:
        @wraps(work)
        def main(cmd: list[str] | None = None) -> None:
            args = get_parser().parse_args(cmd)
            logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
            work(args)

        return main

    return decorate


def run(main: Callable[[], None]) -> None:
    """Run a command; what a user can mend becomes one line and exit status 1.

    A RuntimeError that a library raised may be a fault of the program: its traceback
    is logged first.
    """
    try:
        main()
    except RuntimeError as error:
        raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
        if _PACKAGE not in Path(raised_in).resolve().parents:
            logging.exception("traceback")
        sys.exit(f"error: {error}")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
