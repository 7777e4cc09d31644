"""One embedding a speaker: the mean of those of the utterances."""

import numpy as np


def speaker_means(
    embeddings: dict[str, np.ndarray], utt2spk: dict[str, str]
) -> dict[str, np.ndarray]:
    """The mean embedding of every speaker, of length 1.

    Args:
        embeddings: (S,) float32 by utterance.
        utt2spk: speaker by utterance.

    Raises:
        ValueError: an utterance without speaker.
    """
    groups: dict[str, list[np.ndarray]] = {}
    for key, vector in embeddings.items():
        if key not in utt2spk:
            raise ValueError(f"{key} has an embedding but no speaker in utt2spk")
        groups.setdefault(utt2spk[key], []).append(vector)
    means = {}
    for speaker, vectors in groups.items():
        mean = np.mean(vectors, axis=0)
        means[speaker] = (mean / max(np.linalg.norm(mean), 1e-8)).astype(np.float32)
    return means
