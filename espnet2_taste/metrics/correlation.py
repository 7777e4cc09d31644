"""Pearson correlation that says "undefined" instead of 0."""

import numpy as np


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's r of two (N,) arrays; pairs with a nan in either are left out.

    Unit: none. Range: -1 to 1, nan when fewer than three pairs remain or when either
    side is constant (the coefficient is undefined there, which is not the same as 0).
    Source: K. Pearson, Proc. Royal Society 58 (1895).
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.shape != y.shape:
        raise ValueError(f"pearson: {x.shape} and {y.shape} values cannot be paired")
    keep = np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    if len(x) < 3:
        return float("nan")
    dx, dy = x - x.mean(), y - y.mean()
    norm_x, norm_y = np.sqrt(dx @ dx), np.sqrt(dy @ dy)
    # Constant up to rounding of the mean: a quotient of rounding errors is no result.
    tiny = 1e-12 * np.sqrt(len(x))
    if norm_x <= tiny * max(1.0, abs(x.mean())):
        return float("nan")
    if norm_y <= tiny * max(1.0, abs(y.mean())):
        return float("nan")
    return float(np.clip(dx @ dy / (norm_x * norm_y), -1.0, 1.0))
