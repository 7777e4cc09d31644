"""Which of its predictions a masked-parallel decoder keeps in a step."""

import torch

CONFIDENCES = ("top_k", "top_p")


def kept(
    sure: torch.Tensor,
    masked: torch.Tensor,
    lengths: torch.Tensor,
    due: torch.Tensor,
    confidence: str = "top_k",
    top_p: float = 0.3,
) -> torch.Tensor:
    """(B, U) bool: which masked positions a step unmasks, the surest first.

    Args:
        sure: (B, U) probability of each drawn unit, -1 where nothing is masked.
        masked: (B, U) bool.
        lengths: (B,) units.
        due: (B,) units to be known after this step, at least.
        confidence: ``top_k``: no more than are due (Conf-TopK). ``top_p``: also those
            that hold ``top_p`` of the masked positions' probability of being right
            (Conf-TopP).
        top_p: see ``confidence``.
    """
    order = sure.argsort(dim=-1, descending=True, stable=True)
    rank = torch.empty_like(order)
    rank.scatter_(
        1, order, torch.arange(sure.size(1), device=sure.device).expand_as(order)
    )
    done = lengths - masked.sum(1)
    least = rank < (due - done)[:, None]
    if confidence == "top_k":
        return least & masked
    mass = sure.clamp(min=0).gather(1, order)
    before = mass.cumsum(1) - mass
    within = before < top_p * mass.sum(1, keepdim=True)
    return (least | within.gather(1, rank)) & masked
