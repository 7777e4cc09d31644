"""Undefined values in JSON, which has no nan: null."""

import math


def null(value: float) -> float | None:
    """None for what is not finite."""
    return value if math.isfinite(value) else None


def without_nan(value):
    """JSON-ready dicts and lists, :func:`null` at every depth."""
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_nan(inner) for inner in value]
    return null(value) if isinstance(value, float) else value
