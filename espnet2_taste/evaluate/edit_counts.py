"""Which words of two texts correspond: alignment as NIST's sclite does it."""

from collections.abc import Hashable, Sequence

import numpy as np

# sclite: a substitution costs 4, an insertion or deletion 3. The same alignment has
# the largest sum of gains where a match gains 6 and a substitution 2: what they save
# over deleting one token and inserting the other.
_MATCH, _SUBSTITUTION = 6, 2


def edit_counts(
    reference: Sequence[Hashable], hypothesis: Sequence[Hashable]
) -> tuple[int, int, int]:
    """(substituted, deleted, inserted) tokens of :func:`align`."""
    pairs = align(reference, hypothesis)
    deleted = sum(j is None for _, j in pairs)
    inserted = sum(i is None for i, _ in pairs)
    same = sum(None not in (i, j) and reference[i] == hypothesis[j] for i, j in pairs)
    return len(pairs) - deleted - inserted - same, deleted, inserted


def align(
    reference: Sequence[Hashable], hypothesis: Sequence[Hashable]
) -> list[tuple[int | None, int | None]]:
    """Positions that correspond, in order; None on the other side of a gap.

    The alignment sclite chooses. Its weights make it prefer two gaps to a row of
    substitutions, so its counts differ from an unweighted Levenshtein distance now and
    then. Ties are broken as it does, from the end: tokens stay paired, else an
    insertion goes before a deletion.
    """
    ids: dict[Hashable, int] = {}
    ref, hyp = (
        np.array([ids.setdefault(token, len(ids)) for token in text], np.int64)
        for text in (reference, hypothesis)
    )
    pair = np.where(ref[:, None] == hyp, _MATCH, _SUBSTITUTION)
    best = np.zeros((len(ref) + 1, len(hyp) + 1), np.int64)
    for i in range(len(ref)):
        best[i + 1, 1:] = best[i, :-1] + pair[i]
        best[i + 1] = np.maximum.accumulate(np.maximum(best[i + 1], best[i]))
    i, j = len(ref), len(hyp)
    pairs: list[tuple[int | None, int | None]] = []
    while i or j:
        if i and j and best[i, j] == best[i - 1, j - 1] + pair[i - 1, j - 1]:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif j and best[i, j] == best[i, j - 1]:
            j -= 1
            pairs.append((None, j))
        else:
            i -= 1
            pairs.append((i, None))
    return pairs[::-1]
