"""What arrays may hold: NaN and infinities come through no door, and what counts or
chooses is an integer."""

import numpy as np

NO_NUMBERS = "values that are no numbers (NaN or infinite)"


def only_numbers(values) -> bool:
    """Whether a numpy array or a tensor holds numbers only."""
    finite = values.isfinite() if hasattr(values, "isfinite") else np.isfinite(values)
    return bool(finite.all())


def check_numbers(what: str, values) -> None:
    """Refuse a numpy array or a tensor with NaN or infinite values.

    Raises:
        ValueError: begins with ``what``.
    """
    if not only_numbers(values):
        raise ValueError(f"{what} holds {NO_NUMBERS}")


def as_integers(what: str, values) -> np.ndarray:
    """Units, codes, durations as int64; nothing is cut off.

    Raises:
        ValueError: begins with ``what``: they are no integers.
    """
    values = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    if values.dtype.kind not in "iu" and values.size:
        raise ValueError(f"{what} must be integers, not {values.dtype}")
    return values.astype(np.int64)


def as_floats(values) -> np.ndarray:
    """A numpy array or a tensor as float32."""
    values = values.detach().cpu() if hasattr(values, "detach") else values
    return np.asarray(values, dtype=np.float32)
