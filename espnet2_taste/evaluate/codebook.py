"""How much of a codebook is used."""

import numpy as np


def utilisation(codes: np.ndarray, codebook_sizes: list[int]) -> np.ndarray:
    """Share of each codebook's entries that occur: (T, R) int codes -> (R,).

    Definition: distinct entries used at least once over the given set / K. Unit: none,
    range 0 to 1. It grows with the set: state which set it was counted on.
    """
    pairs = zip(codes.T, codebook_sizes, strict=True)
    return np.array([len(np.unique(column)) / size for column, size in pairs])
