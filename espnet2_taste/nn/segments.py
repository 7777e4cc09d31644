"""Words are where every token sequence meets: maps between tokens and words.

``word_ids`` (B, L) gives the word index of each token: 0, 0, 1, 2, 2, ... W-1, any
value in the padding (lengths decide). Every word has at least one token.
"""

import torch


def length_mask(lengths: torch.Tensor, max_length: int | None = None) -> torch.Tensor:
    """(B,) lengths -> (B, max_length) bool, True at valid positions."""
    size = int(lengths.max()) if max_length is None else max_length
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def pool_words(
    hidden: torch.Tensor, word_ids: torch.Tensor, lengths: torch.Tensor, num_words: int
) -> torch.Tensor:
    """Mean over the tokens of each word (paper eq. 3).

    Args:
        hidden: (B, L, D) token vectors.
        word_ids: (B, L) int64.
        lengths: (B,) int64 tokens.
        num_words: W, at least the largest word count of the batch.

    Returns:
        (B, W, D), zeros for words an item does not have.
    """
    valid = length_mask(lengths, hidden.size(1))
    word = torch.arange(num_words, device=hidden.device)[:, None]
    member = (
        (word_ids.clamp(0, num_words - 1)[:, None] == word) & valid[:, None]
    ).float()
    # A product adds in one order; a GPU's scatter_add adds in any, and codes may flip.
    with torch.autocast(hidden.device.type, enabled=False):
        total = member @ hidden.float().masked_fill(~valid[..., None], 0)
    return (total / member.sum(2, keepdim=True).clamp(min=1)).to(hidden.dtype)


def spread_words(words: torch.Tensor, word_ids: torch.Tensor) -> torch.Tensor:
    """Give each token its word's entry: (B, W, ...) -> (B, L, ...)."""
    index = word_ids.clamp(0, words.size(1) - 1)
    return words[torch.arange(len(words), device=words.device)[:, None], index]


def count_words(word_ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """(B, L) word ids -> (B,) number of words (last valid word id + 1)."""
    last = word_ids.gather(1, (lengths - 1).clamp(min=0)[:, None]).squeeze(1)
    return torch.where(lengths > 0, last + 1, torch.zeros_like(last))


def word_starts(word_ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """(B, L) bool, True at the first token of each word."""
    previous = torch.nn.functional.pad(word_ids[:, :-1], (1, 0), value=-1)
    return (word_ids != previous) & length_mask(lengths, word_ids.size(1))


def average_words(
    hidden: torch.Tensor, word_ids: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """Replace each token vector by the mean over its word: (B, L, D) -> (B, L, D).

    Padded positions are left as they are. Right for single-word utterances, where the
    reference mixes in padding (its quirk Q2).
    """
    pooled = pool_words(hidden, word_ids, lengths, word_ids.size(1))
    mask = length_mask(lengths, hidden.size(1))
    return torch.where(mask[..., None], spread_words(pooled, word_ids), hidden)
