"""Solvers of dx/dt = v(x, t): what an evaluation of v costs is what counts.

Of order 1: Euler's rule (as published). Of order 2: the midpoint rule and Heun's, with
two evaluations a step; Adams and Bashforth's with one, for it remembers that of the
step before, as DPM-Solver++(2M) does (Lu et al. 2022, arXiv 2211.01095) in a time of
its own. The first step of the latter is Euler's.
"""

from collections.abc import Callable

import torch

#: name -> the places within a step where v is evaluated
SOLVERS = {
    "euler": (0.0,),
    "midpoint": (0.0, 0.5),
    "heun": (0.0, 1.0),
    "adams": (0.0,),
}


def check_solver(name: str) -> None:
    """Refuse a name that is not in :data:`SOLVERS`.

    Raises:
        ValueError: lists them.
    """
    if name not in SOLVERS:
        raise ValueError(f"solver {name!r} is not one of {', '.join(SOLVERS)}")


def evaluation_times(
    name: str, times: torch.Tensor, steps: torch.Tensor
) -> torch.Tensor:
    """(N,) times and sizes of the steps -> (N * evaluations of a step,) times at which
    v is asked for, in this order."""
    places = [times + place * steps if place else times for place in SOLVERS[name]]
    return torch.stack(places, 1).flatten()


def solve(
    name: str,
    velocity: Callable[[torch.Tensor, int], torch.Tensor],
    x: torch.Tensor,
    steps: list[float],
) -> torch.Tensor:
    """Follow v from ``x`` through all steps.

    Args:
        name: of a solver.
        velocity: of a state, at the k-th of :func:`evaluation_times`.
        x: where the path begins.
        steps: sizes.

    Returns:
        where it ends, of the shape of ``x``.
    """
    before = None  # velocity and size of the last step
    for index, step in enumerate(steps):
        first = index * len(SOLVERS[name])
        v = velocity(x, first)
        if name == "midpoint":
            x = x + step * velocity(x + step / 2 * v, first + 1)
        elif name == "heun":
            x = x + step / 2 * (v + velocity(x + step * v, first + 1))
        elif name == "adams" and before is not None:
            share = step / before[1] / 2
            x = x + step * ((1 + share) * v - share * before[0])
        else:
            x = x + step * v
        before = v, step
    return x
