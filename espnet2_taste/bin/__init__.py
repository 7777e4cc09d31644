"""Commands: ``python -m espnet2_taste.bin.<name> --help``."""

import logging
import sys
from collections.abc import Callable


def run(main: Callable[[], None]) -> None:
    """Run a command; what a user can mend becomes one line and exit status 1.

    A RuntimeError may be a fault of the program: its traceback is logged first.
    """
    try:
        main()
    except RuntimeError as error:
        logging.exception("traceback")
        sys.exit(f"error: {error}")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
