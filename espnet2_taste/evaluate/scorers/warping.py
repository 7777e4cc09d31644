"""Dynamic time warping of two sequences of vectors."""

import numpy as np

_STEPS = ((1, 1), (1, 0), (0, 1))  # both, the first alone, the second alone


def warping_path(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair the frames of (N, C) and (M, C), N and M at least 1.

    The path of the least sum of Euclidean distances, exact, by steps of one frame in
    either or both (H. Sakoe and S. Chiba 1978, without slope constraint): every frame
    has a partner. Cells of an anti-diagonal are computed at once, which in numpy is as
    fast as compiled code.

    Returns:
        (P,) int indices into ``a`` and into ``b``, in order.
    """
    from scipy.spatial.distance import cdist

    n, m = len(a), len(b)
    costs, stride = cdist(a, b).ravel(), max(m - 1, 1)
    steps = np.zeros((n + m - 1, n), np.uint8)  # that led to cell (i, k - i)
    # [i + 1]: least sums to cells (i, k - 1 - i) and (i, k - 2 - i)
    last, before = np.full((2, n + 1), np.inf)
    before[0] = 0.0
    for k in range(n + m - 1):
        low, high = max(0, k - m + 1), min(k, n - 1)
        start = low * (m - 1) + k
        cost = costs[start : start + (high - low) * stride + 1 : stride]
        ways = np.stack(
            [before[low : high + 1], last[low : high + 1], last[low + 1 : high + 2]]
        )
        best = ways.argmin(0)
        steps[k, low : high + 1] = best
        before, last = last, np.full(n + 1, np.inf)
        last[low + 1 : high + 2] = ways[best, np.arange(len(best))] + cost
    i, j, path = n - 1, m - 1, []
    while i >= 0 and j >= 0:
        path.append((i, j))
        di, dj = _STEPS[steps[i + j, i]]
        i, j = i - di, j - dj
    return tuple(np.array(path[::-1]).T)
