"""Index tensors of word-synchronous sequences: each word's units, then ADVANCE."""

from dataclasses import dataclass

import torch

from espnet2_taste.nn.segments import length_mask


@dataclass
class WordLayout:
    """Teacher-forced sequences; N = most units plus words of an item.

    Attributes:
        inputs: (B, N) int64 previous token: a unit, ADVANCE (``num_units``) or, at the
            beginning, START (``num_units + 1``).
        words: (B, N) int64 word being spoken; the last word in the padding.
        steps: (B, N) int64 units already emitted in that word.
        targets: (B, N) int64 unit or ADVANCE, -1 in the padding.
        in_word: (B, W) bool, True for words that exist.
    """

    inputs: torch.Tensor
    words: torch.Tensor
    steps: torch.Tensor
    targets: torch.Tensor
    in_word: torch.Tensor


def word_layout(
    units: torch.Tensor,
    units_lengths: torch.Tensor,
    durations: torch.Tensor,
    num_words: torch.Tensor,
    num_units: int,
) -> WordLayout:
    """Lay units out word by word, for the whole batch at once.

    Args:
        units: (B, U) int64, anything in the padding.
        units_lengths: (B,) int64.
        durations: (B, W) int64 units of each word, anything after the last word.
        num_words: (B,) int64.
        num_units: size of the unit vocabulary; ADVANCE's id.

    Raises:
        ValueError: if an item's durations are negative, fewer than its words, or do not
            sum to its units.
    """
    if durations.size(1) < int(num_words.max()):
        raise ValueError(
            f"durations has {durations.size(1)} columns but an utterance has "
            f"{int(num_words.max())} words: text and durations differ"
        )
    in_word = length_mask(num_words, durations.size(1))
    taken = torch.where(in_word, durations, 0)
    sizes = taken + in_word  # the ADVANCE after each word
    ends = sizes.cumsum(1)
    total = taken.sum(1)
    wrong = (total != units_lengths) | (taken < 0).any(1)
    # one host sync for the check and the size
    num_wrong, length = torch.stack([wrong.sum(), ends[:, -1].max()]).tolist()
    if num_wrong:
        item = int(wrong.nonzero()[0])
        raise ValueError(
            f"item {item} of the batch: durations {taken[item].tolist()} sum to "
            f"{int(total[item])} but units_lengths is {int(units_lengths[item])}; "
            "make units.scp and durations.scp again from the same audio"
        )
    position = torch.arange(length, device=units.device).expand(len(units), -1)
    position = position.contiguous()
    words = torch.searchsorted(ends, position, right=True)
    words = torch.minimum(words, (num_words - 1).clamp(min=0)[:, None])
    steps = position - (ends - sizes).gather(1, words)
    is_advance = steps >= taken.gather(1, words)
    # each earlier word put one ADVANCE before this position
    index = (position - words).clamp(max=max(units.size(1) - 1, 0))
    targets = units.gather(1, index) if units.size(1) else torch.zeros_like(index)
    targets = targets.masked_fill(is_advance, num_units)
    valid = position < ends[:, -1:]
    inputs = torch.nn.functional.pad(
        targets.masked_fill(~valid, num_units)[:, :-1], (1, 0), value=num_units + 1
    )
    targets = targets.masked_fill(~valid, -1)
    return WordLayout(inputs, words, steps, targets, in_word)


def noisy_inputs(
    layout: WordLayout, num_units: int, unit_noise: float, word_noise: float
) -> torch.Tensor:
    """(B, N) inputs with random units in place of some; ADVANCE and START stay.

    Args:
        layout: see :func:`word_layout`.
        num_units: see there.
        unit_noise: share of units, each by itself.
        word_noise: share of words, of which all units are replaced.
    """
    inputs = layout.inputs
    words = torch.rand(layout.in_word.shape, device=inputs.device) < word_noise
    noisy = torch.rand(inputs.shape, device=inputs.device) < unit_noise
    noisy |= words.gather(1, layout.words)
    noisy &= inputs < num_units
    return torch.where(noisy, torch.randint_like(inputs, num_units), inputs)
