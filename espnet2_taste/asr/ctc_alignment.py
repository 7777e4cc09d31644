"""Word times by forced alignment with a CTC model."""

import numpy as np
import torch
import torchaudio

from espnet2_taste.asr.abs_aligner import WordTimes
from espnet2_taste.asr.silences import borders_at_silences

#: CTC emits a character inside it, not at its onset (s; measured on the mini corpus).
CTC_LATENCY_S = 0.045


def align_words(
    log_probs: torch.Tensor,
    words: list[list[int]],
    before: list[int | None],
    blank: int = 0,
) -> tuple[np.ndarray, float]:
    """First and last frame of each word by CTC forced alignment, and how sure it is.

    Args:
        log_probs: (F, V) frame log-probabilities.
        words: token ids of each word.
        before: token between each word and the one before it, or None.
        blank: CTC blank.

    Returns:
        (W, 2) int64 frames of its first and last token, and the confidence, 0 to 1:
        geometric mean of the tokens' probabilities where they are put. Of silence, or
        of words that nobody says there, it is a small part of what it is elsewhere.

    Raises:
        ValueError: fewer frames than tokens.
    """
    tokens, owner = [], []
    for index, ids in enumerate(words):
        if index and before[index] is not None:
            tokens.append(before[index])
            owner.append(-1)
        tokens.extend(ids)
        owner.extend([index] * len(ids))
    repeats = sum(a == b for a, b in zip(tokens, tokens[1:], strict=False))
    if len(log_probs) < len(tokens) + repeats:
        raise ValueError(
            f"{len(log_probs)} frames cannot hold {len(tokens)} tokens: the text does "
            "not belong to this audio, or it is too fast"
        )
    path, scores = torchaudio.functional.forced_align(
        log_probs[None].float().contiguous(),
        torch.tensor([tokens], dtype=torch.int32),
        blank=blank,
    )
    path = path[0].numpy()
    begins = (path != blank) & (path != np.concatenate([[blank], path[:-1]]))
    frames = np.flatnonzero(begins)  # one per token, in order
    owner = np.asarray(owner)
    own = [np.flatnonzero(owner == w) for w in range(len(words))]
    confidence = float(scores[0].double().numpy()[frames].mean())
    return frames[[(at[0], at[-1]) for at in own]], float(np.exp(confidence))


def word_times(spans: np.ndarray, wav: np.ndarray, sample_rate: int) -> WordTimes:
    """Word borders: where the first character comes, or at the silence before it.

    Args:
        spans: (W, 2) s, of the words' first and last characters.
        wav: (N,) float waveform.
        sample_rate: Hz.
    """
    total = len(wav) / sample_rate
    starts = np.maximum(spans[:, 0] - CTC_LATENCY_S, 0)
    ends = np.append(starts[1:], total)
    return WordTimes(*borders_at_silences(starts, ends, spans, wav, sample_rate), total)
