import pytest
import torch

from espnet2_taste.nn.recompute import recompute_blocks
from espnet2_taste.nn.rel_pos_encoder import RelPosEncoder
from espnet2_taste.taste.speech_decoder.bidirectional import BidirectionalTransformer
from espnet2_taste.taste.speech_decoder.causal_transformer import CausalTransformer

X = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
SEEN = torch.arange(5).float().expand(2, -1), torch.ones(2, 5, dtype=torch.bool)
STACKS = {
    "relative": (lambda: RelPosEncoder(8, 8, 2, 16, 4, 0.2, "transformer"), ()),
    "causal": (lambda: CausalTransformer(8, 4, 2, dropout=0.2), ()),
    "both": (lambda: BidirectionalTransformer(8, 4, 2, dropout=0.2), SEEN),
}


def gradients(stack, more):
    """Of all weights, and the numbers kept for the backward pass."""
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda x: kept.append(x.numel()) or x, lambda x: x
    ):
        torch.manual_seed(1)
        loss = stack(X, *more).square().sum()
    stack.zero_grad()
    loss.backward()
    found = {n: p.grad.clone() for n, p in stack.named_parameters()}
    return found, sum(kept)


@pytest.mark.parametrize("make,more", STACKS.values(), ids=STACKS)
def test_the_same_gradients_of_less_memory(make, more):
    torch.manual_seed(0)
    stack = make().train()
    want, much = gradients(stack, more)
    assert recompute_blocks(torch.nn.ModuleList([stack])) == 1
    got, little = gradients(stack, more)
    assert little < much / 2
    for name, gradient in want.items():
        assert gradient.equal(got[name]), name
