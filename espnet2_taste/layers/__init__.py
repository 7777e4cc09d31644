"""Building blocks that more than one model has."""
