"""Word times by forced alignment with a CTC model, and what is derived from them."""

import numpy as np
import torch
import torchaudio

from espnet2_taste.asr.abs_aligner import WordTimes

#: A word's tail is pause where the level is this far below the utterance's peak (dB).
PAUSE_LEVEL_DB = -35.0
#: Shorter silences are stop closures, not pauses (s).
MIN_PAUSE_S = 0.06
LEVEL_PERIOD_S = 0.01
#: A pause lies no further than this from where CTC puts the border (s).
PAUSE_REACH_S = 0.1
#: CTC emits a character inside it, not at its onset (s; measured on the mini corpus).
CTC_LATENCY_S = 0.045


def align_words(
    log_probs: torch.Tensor,
    words: list[list[int]],
    before: list[int | None],
    blank: int = 0,
) -> tuple[np.ndarray, float]:
    """First frame of each word by CTC forced alignment, and how sure it is.

    Args:
        log_probs: (F, V) frame log-probabilities.
        words: token ids of each word.
        before: token between each word and the one before it, or None.
        blank: CTC blank.

    Returns:
        (W,) int64 frames, strictly increasing, and the confidence, 0 to 1: geometric
        mean of the tokens' probabilities where they are put. Of silence, or of words
        that nobody says there, it is a small part of what it is elsewhere.

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
    first = [np.flatnonzero(owner == w)[0] for w in range(len(words))]
    confidence = float(scores[0].double().numpy()[frames].mean())
    return frames[first], float(np.exp(confidence))


def frame_levels(wav: np.ndarray, sample_rate: int) -> np.ndarray:
    """(T,) level in dB relative to the loudest of the 10 ms frames."""
    hop = int(sample_rate * LEVEL_PERIOD_S)
    power = np.square(wav[: len(wav) // hop * hop].astype(np.float64))
    power = power.reshape(-1, hop).mean(1)
    return 10 * np.log10(power / max(power.max(initial=0), 1e-12) + 1e-12)


def quiet_runs(wav: np.ndarray, sample_rate: int) -> np.ndarray:
    """(P, 2) start and end in seconds of silences of at least ``MIN_PAUSE_S``."""
    quiet = frame_levels(wav, sample_rate) < PAUSE_LEVEL_DB
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet, [0]])))
    runs = edges.reshape(-1, 2) * LEVEL_PERIOD_S
    return runs[runs[:, 1] - runs[:, 0] >= MIN_PAUSE_S - 1e-9]


def word_times(starts: np.ndarray, wav: np.ndarray, sample_rate: int) -> WordTimes:
    """Correct CTC word starts for their latency and put pauses between words.

    A silence near the border of two words is the pause between them: the first word
    ends and the second starts where the level says.

    Args:
        starts: (W,) seconds, first frames of the words' first characters.
        wav: (N,) float waveform.
        sample_rate: Hz.
    """
    duration = len(wav) / sample_rate
    starts = np.maximum(starts - CTC_LATENCY_S, 0)
    ends = np.append(starts[1:], duration)
    runs = quiet_runs(wav, sample_rate)
    for i, border in enumerate(ends.copy()):
        last = i == len(ends) - 1
        limit = ends[i + 1] if not last else duration
        near = (
            (runs[:, 0] > starts[i] + LEVEL_PERIOD_S)
            & (runs[:, 1] < limit - LEVEL_PERIOD_S if not last else True)
            & (runs[:, 0] < border + PAUSE_REACH_S)
            & (runs[:, 1] > border - PAUSE_REACH_S)
        )
        if near.any():
            candidates = runs[near]
            run = candidates[np.argmax(candidates[:, 1] - candidates[:, 0])]
            ends[i] = run[0]
            if not last:
                starts[i + 1] = run[1]
    return WordTimes(starts, ends, duration)


def unit_durations(times: WordTimes, num_units: int) -> np.ndarray:
    """Units per word, each at least 1, summing to ``num_units``.

    Leading silence belongs to the first word, a pause to the word before it.

    Raises:
        ValueError: fewer units than words.
    """
    count = len(times.starts)
    if num_units < count:
        raise ValueError(f"{num_units} units cannot cover {count} words")
    rate = num_units / times.total
    bounds = np.round(times.starts[1:] * rate).astype(np.int64)
    bounds = np.concatenate([[0], bounds, [num_units]])
    index = np.arange(count + 1)
    # Push boundaries apart from the left, then from the right: every word keeps a unit.
    bounds[1:-1] = np.maximum.accumulate(bounds - index)[1:-1] + index[1:-1]
    limit = num_units - (count - index)
    return np.diff(np.minimum(bounds, limit)).astype(np.int32)


def word_prosody(
    times: WordTimes, f0: np.ndarray, f0_period: float
) -> tuple[np.ndarray, np.ndarray]:
    """Word prosody targets.

    Args:
        times: of the words.
        f0: (T,) Hz, 0 where unvoiced.
        f0_period: seconds per frame.

    Returns:
        (W, 3) float32: mean log-F0 of the word (ln Hz; the utterance's mean where the
        word has no voiced frame, 0 where the utterance has none), log duration without
        pause (ln s), pause after the word (s); and (2,): sum of voiced log-F0 and count
        of voiced frames, to subtract the speaker's mean later.
    """
    position = (np.arange(len(f0)) * f0_period)[:, None]
    voiced = f0 > 0
    log_f0 = np.log(np.where(voiced, f0, 1.0))
    inside = (position >= times.starts) & (position < times.ends) & voiced[:, None]
    total = np.array([log_f0.sum(), voiced.sum()])
    mean = total[0] / max(total[1], 1)
    counts = inside.sum(0)
    word_f0 = np.where(
        counts > 0, (inside * log_f0[:, None]).sum(0) / np.maximum(counts, 1), mean
    )
    spoken = np.log(np.maximum(times.ends - times.starts, LEVEL_PERIOD_S))
    prosody = np.stack([word_f0, spoken, times.pauses], axis=1)
    return prosody.astype(np.float32), total
