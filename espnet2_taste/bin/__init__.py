"""Commands: ``python -m espnet2_taste.bin.<name> --help``."""

import atexit
import gc
import logging
import os
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import wraps

from espnet2_taste.bin.errors import explain

LOG_FORMAT = "%(asctime)s (%(module)s:%(lineno)d) %(levelname)s: %(message)s"
_SECRET_NAME = re.compile(r"(TOKEN|_KEY|SECRET|PASSWORD|PASSWD)(_\w+)?$")
_PASSWORD = re.compile(r"(://)[^/\s@]+@")


def command(get_parser: Callable[[], ArgumentParser]) -> Callable:
    """Decorator: ``work(args)`` becomes ``main(words)``, which parses the words.

    Without words, those of the command line are parsed. The log goes to stderr.
    """

    def decorate(work: Callable[[Namespace], None]) -> Callable:
        @wraps(work)
        def main(cmd: list[str] | None = None) -> None:
            args = get_parser().parse_args(cmd)
            logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
            try:
                work(args)
            except OSError as error:
                error.options = args  # says where, if Python does not
                raise

        return main

    return decorate


def run(main: Callable[[], None]) -> None:
    """Run a command; what a user can mend becomes one line and exit status 1.

    Of a fault of the program the traceback comes first. Nothing waits for the terminal,
    and nothing that is logged holds a secret of the environment.
    """
    _leave_garbage()
    _hide_secrets()
    _leave_terminal()
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        line = explain(error)
        if line is None and not isinstance(error, RuntimeError | ValueError):
            raise
        if line is None:
            logging.exception("traceback")
            line = " ".join(str(error).split())
        sys.exit(f"error: {masked(line)}")


def _leave_garbage() -> None:
    """Look for it less often, and not at the end: torch makes 180,000 objects that
    stay, and looking at them took a short program more than a second."""
    gc.set_threshold(20_000)
    atexit.register(gc.freeze)


def masked(text: str) -> str:
    """A text without passwords in URLs and without secrets of the environment."""
    text = _PASSWORD.sub(r"\1***@", text)
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET_NAME.search(name):
            text = text.replace(value, "***")
    return text


def _hide_secrets() -> None:
    """From all that is logged: libraries log what they were told."""
    make = logging.getLogRecordFactory()
    if getattr(make, "hides_secrets", False):
        return

    def record(*args, **kwargs) -> logging.LogRecord:
        made = make(*args, **kwargs)
        message = made.getMessage()
        if (hidden := masked(message)) != message:
            made.msg, made.args = hidden, None
        return made

    record.hides_secrets = True
    logging.setLogRecordFactory(record)


def _leave_terminal() -> None:
    """A question on the terminal gets no answer, at once."""
    try:
        if os.isatty(0):
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    except OSError:  # no descriptor 0
        pass
