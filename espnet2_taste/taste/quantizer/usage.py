"""How much of a codebook is used."""

import torch


def codebook_usage(
    codes: torch.Tensor, codebook_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Utilisation and perplexity of each codebook.

    Args:
        codes: (..., R) int64; -1 (padding, dropped codebooks) is ignored.
        codebook_size: K.

    Returns:
        utilisation (R,): share of the K entries that occur; perplexity (R,): exp of
        the entropy of their frequencies, K when all are used alike. Both are nan
        where a codebook has no code at all.
    """
    flat = codes.reshape(-1, codes.size(-1))
    counts = torch.zeros(
        codes.size(-1), codebook_size + 1, dtype=torch.float64, device=codes.device
    )
    # -1 is counted in a column of its own, which is then cut off.
    index = flat.t() % (codebook_size + 1)
    counts.scatter_add_(1, index, torch.ones_like(index, dtype=counts.dtype))
    counts = counts[:, :-1]
    total = counts.sum(dim=1, keepdim=True)
    share = counts / total
    entropy = torch.special.entr(share).sum(dim=1)
    used = (counts > 0).double().mean(dim=1)
    used = torch.where(total.squeeze(1) > 0, used, torch.nan)
    return used.float(), entropy.exp().float()
