"""Nothing is on the wrong device, and no step waits for a GPU, seen without one."""

from functools import cache

import pytest
import torch
from gpu_cases import TRAINING
from gpu_generation import GENERATION, INFERENCE
from pretend_gpu import DEVICE, pretend_gpu

pytest.importorskip("peft")
EVERYTHING = {
    f"{kind}-{name}": case
    for kind, cases in (
        ("train", TRAINING),
        ("infer", INFERENCE),
        ("generate", GENERATION),
    )
    for name, case in cases.items()
}


SIZE = 3


@cache
def run(case, size):
    """What a second call does: the first may fill tables."""
    with pretend_gpu() as trace:
        call = case(DEVICE, size)
        call()
        trace.clear()
        result = call().cpu()
        trace.waits.subtract({("_to_copy", "elsewhere"): 1})  # that of the result
        return result, {kind: dict(+found) for kind, found in vars(trace).items()}


@pytest.mark.parametrize("case", EVERYTHING.values(), ids=EVERYTHING)
def test_same_result_on_the_device(case):
    call = case("cpu", SIZE)
    call()
    torch.testing.assert_close(run(case, SIZE)[0], call(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", GENERATION.values(), ids=GENERATION)
def test_a_step_of_generation_neither_waits_nor_uploads(case):
    """Five times the steps: a look every 8 steps whether all have ended, no more."""
    (few, short), (many, long) = run(case, SIZE), run(case, 5 * SIZE)
    steps = many.size(1) - few.size(1)
    assert steps >= 8
    assert short["uploads"] == long["uploads"] and short["made"] == long["made"]
    more = {p: n - short["waits"].get(p, 0) for p, n in long["waits"].items()}
    looks = {place: n for place, n in more.items() if n}
    assert len(looks) <= 1 and sum(looks.values()) <= steps // 8 + 1, looks


@pytest.mark.parametrize("case", TRAINING.values(), ids=TRAINING)
def test_a_training_step_waits_no_more_for_a_larger_batch(case):
    small, large = run(case, SIZE)[1], run(case, 2 * SIZE)[1]
    assert small == large
