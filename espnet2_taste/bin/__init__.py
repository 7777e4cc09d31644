"""Commands: ``python -m espnet2_taste.bin.<name> --help``."""

import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


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
