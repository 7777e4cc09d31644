"""Maps between tokens and the segments that they belong to: words, or anything else.

``segment_ids`` (B, L) gives the segment of each token: 0, 0, 1, 2, 2, ... S-1, any
value in the padding (lengths decide). Every segment has at least one token.
"""

import torch


def length_mask(lengths: torch.Tensor, max_length: int | None = None) -> torch.Tensor:
    """(B,) lengths -> (B, max_length) bool, True at valid positions."""
    size = int(lengths.max()) if max_length is None else max_length
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def pool_segments(
    hidden: torch.Tensor, segment_ids: torch.Tensor, lengths: torch.Tensor, size: int
) -> torch.Tensor:
    """Mean over the tokens of each segment (paper eq. 3, where it is a word).

    Args:
        hidden: (B, L, D) token vectors.
        segment_ids: (B, L) int64.
        lengths: (B,) int64 tokens.
        size: S, at least the largest number of segments in the batch.

    Returns:
        (B, S, D), zeros for segments an item does not have.
    """
    valid = length_mask(lengths, hidden.size(1))
    segment = torch.arange(size, device=hidden.device)[:, None]
    member = (
        (segment_ids.clamp(0, size - 1)[:, None] == segment) & valid[:, None]
    ).float()
    # A product adds in one order; a GPU's scatter_add adds in any, and codes may flip.
    with torch.autocast(hidden.device.type, enabled=False):
        total = member @ hidden.float().masked_fill(~valid[..., None], 0)
    return (total / member.sum(2, keepdim=True).clamp(min=1)).to(hidden.dtype)


def spread_segments(values: torch.Tensor, segment_ids: torch.Tensor) -> torch.Tensor:
    """Give each token its segment's entry: (B, S, ...) -> (B, L, ...)."""
    index = segment_ids.clamp(0, values.size(1) - 1)
    return values[torch.arange(len(values), device=values.device)[:, None], index]


def first_of_segments(
    values: torch.Tensor, segment_ids: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """(B, L, D) tokens' values -> (B, S, D), each segment's first; -1 where an item has
    no such segment."""
    starts = segment_starts(segment_ids, lengths)
    size = int(starts.sum(1).max())
    # what is no segment's first token lands in a column that is cut off
    place = segment_ids.where(starts, size)[..., None].expand_as(values)
    out = values.new_full((len(values), size + 1, values.size(2)), -1)
    return out.scatter(1, place, values)[:, :-1]


def count_segments(segment_ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """(B, L) segment ids -> (B,) number of segments (last valid id + 1)."""
    last = segment_ids.gather(1, (lengths - 1).clamp(min=0)[:, None]).squeeze(1)
    return torch.where(lengths > 0, last + 1, torch.zeros_like(last))


def segment_starts(segment_ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """(B, L) bool, True at the first token of each segment."""
    previous = torch.nn.functional.pad(segment_ids[:, :-1], (1, 0), value=-1)
    return (segment_ids != previous) & length_mask(lengths, segment_ids.size(1))


def take(x: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Reorder positions: (B, N, D) and (B, M) -> (B, M, D)."""
    offset = torch.arange(0, x.size(0) * x.size(1), x.size(1), device=x.device)
    index = (order + offset[:, None]).flatten()
    return x.flatten(0, 1).index_select(0, index).view(*order.shape, -1)


def average_segments(
    hidden: torch.Tensor, segment_ids: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """Replace each token vector by its segment's mean: (B, L, D) -> (B, L, D).

    Padded positions are left as they are. Right for single-word utterances, where the
    reference mixes in padding (its quirk Q2).
    """
    pooled = pool_segments(hidden, segment_ids, lengths, segment_ids.size(1))
    mask = length_mask(lengths, hidden.size(1))
    return torch.where(mask[..., None], spread_segments(pooled, segment_ids), hidden)
