import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_taste.evaluate.scorers.frames import warping_path


@settings(deadline=None)  # the first call compiles
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 1000))
def test_warping_is_the_cheapest_path(n, m, seed):
    a, b = (np.random.default_rng(seed).normal(size=(k, 3)) for k in (n, m))
    cost = np.linalg.norm(a[:, None] - b[None], axis=-1)
    total = np.full((n + 1, m + 1), np.inf)
    total[0, 0] = 0
    for i in range(n):
        for j in range(m):
            before = min(total[i, j], total[i, j + 1], total[i + 1, j])
            total[i + 1, j + 1] = cost[i, j] + before
    first, second = warping_path(a, b)
    np.testing.assert_allclose(cost[first, second].sum(), total[n, m])
    steps = np.stack([np.diff(first), np.diff(second)])
    assert set(steps.ravel()) <= {0, 1} and (steps.max(0, initial=1) == 1).all()
    assert (first[0], second[0], first[-1], second[-1]) == (0, 0, n - 1, m - 1)


def test_by_hand():
    a, b = np.array([[0.0], [1.0], [5.0]]), np.array([[0.0], [0.0], [5.0]])
    first, second = warping_path(a, b)
    assert first.tolist() == second.tolist() == [0, 1, 2]  # of equals, the shortest
    first, second = warping_path(a, b[1:])
    assert (first.tolist(), second.tolist()) == ([0, 1, 2], [0, 0, 1])
