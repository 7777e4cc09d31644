import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from espnet2_taste.nn.flops import FlopCounter, matmul_rate


def test_what_is_frozen_counts_forward_alone():
    frozen, trained = torch.nn.Linear(2, 3).requires_grad_(False), torch.nn.Linear(3, 5)
    with FlopCounter() as counter:
        hidden = frozen(torch.ones(2, 4, 2))
        trained(hidden).sum().backward()
    forward = 2 * 8 * (2 * 3 + 3 * 5)
    weights = 2 * 8 * 3 * 5  # of the input nobody asks for a gradient
    assert counter.total == forward + weights


def test_a_frozen_map_above_a_trained_one_passes_gradients():
    trained, frozen = torch.nn.Linear(2, 3), torch.nn.Linear(3, 5).requires_grad_(False)
    with FlopCounter() as counter:
        frozen(trained(torch.ones(8, 2))).sum().backward()
    assert counter.total == 2 * 8 * (2 * (2 * 3) + 2 * (3 * 5))


def test_what_is_computed_again_does_not_count():
    linear = torch.nn.Linear(3, 5)
    totals = []
    for run in (linear, lambda x: checkpoint(linear, x, use_reentrant=False)):
        with FlopCounter() as counter:
            run(torch.ones(8, 3, requires_grad=True)).square().sum().backward()
        totals.append(counter.total)
    assert totals == [3 * 2 * 8 * 3 * 5] * 2


@pytest.mark.parametrize("masked", [False, True])
def test_attention(masked):
    """Two products forward; backward four, and that of the weights once more."""
    x = torch.randn(2, 3, 4, 8, requires_grad=True)
    mask = torch.ones(4, 4, dtype=torch.bool) if masked else None
    with FlopCounter() as counter:
        y = scaled_dot_product_attention(x, x, x, mask, is_causal=not masked)
        forward = counter.total
        y.sum().backward()
    product = 2 * (2 * 3) * 4 * 4 * 8
    assert forward == 2 * product and counter.total == 7 * product


def test_counting_changes_nothing():
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    x = torch.randn(2, 5, 8)
    found = []
    for mode in (FlopCounter(), torch.enable_grad()):
        layer.zero_grad()
        torch.manual_seed(0)
        with mode:
            layer(x).sum().backward()
        found.append([p.grad.clone() for p in layer.parameters()])
    assert all(map(torch.equal, *found))


def test_a_product_is_timed_once():
    device = torch.device("cpu")
    assert matmul_rate(device, torch.float32) == matmul_rate(device, torch.float32) > 0
