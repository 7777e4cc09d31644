"""How many units each token of a text takes: what `masked_parallel` predicts."""

import torch

from espnet2_taste.nn.segments import count_segments, length_mask
from espnet2_taste.text.view import TextView


def training_spans(
    log_spans: torch.Tensor,
    text: TextView,
    units_lengths: torch.Tensor,
    durations: torch.Tensor | None,
) -> torch.Tensor:
    """(B, L) units of each token that add up to the true length.

    Where words' durations are known, a word's tokens share its own.

    Args:
        log_spans: (B, L) ln units of each token, as predicted.
        text: of L tokens.
        units_lengths: (B,) int64 units of the utterances.
        durations: (B, W) int64 units of the words, or None.
    """
    spans = log_spans.exp() * length_mask(text.lengths, log_spans.size(1))
    if durations is None:
        return scaled(spans, units_lengths)
    of_words = _sum_words(spans, text, durations.size(1))
    scale = durations.clamp(min=0) / of_words.clamp(min=1e-6)
    return spans * scale.gather(1, text.word_ids.clamp(0, durations.size(1) - 1))


def duration_error(
    log_spans: torch.Tensor,
    text: TextView,
    units_lengths: torch.Tensor,
    durations: torch.Tensor | None,
) -> torch.Tensor:
    """Mean squared error of ln units, of words or, without ``durations``, of whole
    utterances; arguments as of :func:`training_spans`."""
    spans = log_spans.exp() * length_mask(text.lengths, log_spans.size(1))
    if durations is None:
        made, true = spans.sum(1), units_lengths
        counted = (true > 0) & (text.lengths > 0)
    else:
        made, true = _sum_words(spans, text, durations.size(1)), durations
        words = count_segments(text.word_ids, text.lengths)
        counted = length_mask(words, durations.size(1))
    error = made.clamp(min=1e-6).log() - true.clamp(min=1).log()
    return (error.square() * counted).sum() / counted.sum().clamp(min=1)


def scaled(spans: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """(B, L) stretches, scaled to add up to ``lengths`` (B,)."""
    return spans * (lengths / spans.sum(1).clamp(min=1e-6))[:, None]


def owners(spans: torch.Tensor, lengths: torch.Tensor, size: int) -> torch.Tensor:
    """(B, U) int64 token in whose stretch the middle of each unit lies; after the last
    token's end, the last one.

    Args:
        spans: (B, L) units of each token, 0 in the padding.
        lengths: (B,) int64 tokens.
        size: U.
    """
    middle = torch.arange(size, device=spans.device) + 0.5
    middle = middle.expand(len(spans), -1).contiguous()
    own = torch.searchsorted(spans.cumsum(1), middle, right=True)
    return torch.minimum(own, (lengths - 1).clamp(min=0)[:, None])


def word_durations(spans: torch.Tensor, text: TextView) -> torch.Tensor:
    """(B, L) units of tokens -> (B, W) whole units of words, same total."""
    words = count_segments(text.word_ids, text.lengths)
    size = int(words.max()) if len(words) else 0
    ends = _sum_words(spans, text, max(size, 1)).cumsum(1).round().long()
    return torch.diff(ends, dim=1, prepend=ends.new_zeros(len(ends), 1))[:, :size]


def _sum_words(spans: torch.Tensor, text: TextView, size: int) -> torch.Tensor:
    """(B, L) units of tokens, 0 in the padding -> (B, size) units of words."""
    index = text.word_ids.clamp(0, size - 1)
    return spans.new_zeros(len(spans), size).scatter_add(1, index, spans)
