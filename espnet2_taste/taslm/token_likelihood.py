"""Likelihood of text tokens, computed only where there is something to predict."""

from dataclasses import dataclass

import torch
from torch.utils.checkpoint import checkpoint

from espnet2_taste.nn.abs_backbone import AbsBackbone

#: Logits held at once; more are computed in parts, and again in the backward pass.
MAX_LOGITS = 2**26


@dataclass
class TokenLikelihoods:
    """M labelled positions of a batch, items one after the other.

    Attributes:
        item: (M,) int64 row of the batch.
        ce: (M,) float32 -log p(token).
        kl: (M,) float32 KL(base || model); zeros without base.
        correct: (M,) bool, the token is the most likely one.
    """

    item: torch.Tensor
    ce: torch.Tensor
    kl: torch.Tensor
    correct: torch.Tensor


def token_likelihoods(
    lm: AbsBackbone,
    hidden: torch.Tensor,
    labels: torch.Tensor,
    base: torch.Tensor | None = None,
) -> TokenLikelihoods:
    """Score labelled tokens.

    A vocabulary of 128k makes (B, L, V) logits, their softmax and its gradient the
    largest tensors of a training step. Here the memory does not grow with the batch.

    Args:
        lm: the backbone.
        hidden: (B, L, size) its hidden states.
        labels: (B, L) int64, -1 for none.
        base: (B, L', size) by ``lm.base_hidden``, L' <= L; every label is among them.
    """
    valid = labels >= 0
    item, position = valid.nonzero(as_tuple=True)
    states, targets = hidden[item, position], labels[item, position]
    base_states = None if base is None else base[item, position]
    step = max(1, MAX_LOGITS // lm.vocab_size)
    parts = []
    for first in range(0, len(targets), step):
        rows = slice(first, first + step)
        of_base = None if base is None else base_states[rows]
        part = (lm, states[rows], targets[rows], of_base)
        if torch.is_grad_enabled() and len(targets) > step:
            parts.append(checkpoint(_score, *part, use_reentrant=False))
        else:
            parts.append(_score(*part))
    ce, kl, correct = (torch.cat(column) for column in zip(*parts, strict=True))
    return TokenLikelihoods(item, ce, kl, correct)


def _score(
    lm: AbsBackbone,
    states: torch.Tensor,
    targets: torch.Tensor,
    base_states: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cross-entropy, KL and correctness of (M,) targets."""
    model = lm.logits(states).log_softmax(-1)
    correct = model.detach().argmax(-1) == targets
    ce = -model.gather(-1, targets[:, None]).squeeze(-1)
    if base_states is None:
        return ce, torch.zeros_like(ce), correct
    target = lm.logits(base_states, base=True).log_softmax(-1)
    kl = torch.nn.functional.kl_div(model, target, reduction="none", log_target=True)
    return ce, kl.sum(-1), correct
