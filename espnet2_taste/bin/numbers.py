"""Types of numeric options: what makes no sense is refused before any work starts.

argparse names the option: ``argument --nj: 0: expected a whole number from 1 to 1024``.
"""

import math
import re
from argparse import ArgumentTypeError
from collections.abc import Callable

_REAL = re.compile(r"-?(\d+\.?\d*|\.\d+)(e-?\d+)?|inf", re.ASCII | re.IGNORECASE)


def whole(low: int, high: int) -> Callable[[str], int]:
    """The type of whole numbers from ``low`` to ``high``."""

    def parse(text: str) -> int:
        digits = text.removeprefix("-")
        valid = digits.isascii() and digits.isdecimal() and len(digits) < 20
        if not valid or not low <= int(text) <= high:
            raise ArgumentTypeError(
                f"{text}: expected a whole number from {low} to {high}"
            )
        return int(text)

    return parse


def real(low: float, high: float, above: bool = False) -> Callable[[str], float]:
    """The type of numbers from ``low`` to ``high``; ``above``: not ``low`` itself."""

    def parse(text: str) -> float:
        value = float(text) if _REAL.fullmatch(text) else math.nan
        if not low <= value <= high or above and value == low:
            start = f"above {low:g}" if above else f"from {low:g}"
            raise ArgumentTypeError(f"{text}: expected a number {start} to {high:g}")
        return value

    return parse


#: How many: none makes no sense.
positive = whole(1, 10**9)
#: How many, or which: 0 is fine.
count = whole(0, 10**9)
#: Processes or requests at once.
jobs = whole(1, 1024)
#: Of random streams.
seed = whole(0, 2**63 - 1)
#: Up to four months.
seconds = real(0, 1e7)
#: Divides logits.
temperature = real(0, 100, above=True)
