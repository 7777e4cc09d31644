"""One embedding a speaker: the mean of those of the utterances."""

from collections.abc import Iterable

import numpy as np


def speaker_means(
    embeddings: Iterable[tuple[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """The mean embedding of every speaker, of length 1.

    Args:
        embeddings: speaker and (S,) float32 of each utterance.
    """
    sums: dict[str, np.ndarray] = {}
    for speaker, vector in embeddings:
        # Means are scaled to length 1: their sum tells as much.
        sums[speaker] = sums.get(speaker, 0.0) + vector.astype(np.float64)
    return {
        speaker: (total / max(np.linalg.norm(total), 1e-8)).astype(np.float32)
        for speaker, total in sums.items()
    }
