"""How much of a codebook is used."""

from dataclasses import dataclass

import torch


@dataclass
class CodebookUsage:
    """Use of R codebooks; nan where a codebook has no code at all.

    Attributes:
        perplexity: (R,) float32 exp of the entropy of their frequencies, 1..K: K when
            all are used alike.
        dead: (R,) float32 entries that do not occur, 0..K-1.
    """

    perplexity: torch.Tensor
    dead: torch.Tensor

    @classmethod
    def of_counts(cls, counts: torch.Tensor) -> "CodebookUsage":
        """(R, K) int64: how often each entry occurred."""
        total = counts.sum(dim=1)
        share = counts.double() / total[:, None]
        perplexity = torch.special.entr(share).sum(dim=1).exp()
        dead = (counts == 0).sum(dim=1).double()
        dead = torch.where(total > 0, dead, torch.nan)
        return cls(perplexity.float(), dead.float())


def count_codes(codes: torch.Tensor, codebook_size: int) -> torch.Tensor:
    """(..., R) int64 codes -> (R, K) int64 counts; -1 (padding, dropped codebooks)
    is ignored."""
    index = codes.reshape(-1, codes.size(-1)).t() % (codebook_size + 1)
    counts = index.new_zeros(codes.size(-1), codebook_size + 1)
    # -1 is counted in a column of its own, which is then cut off.
    return counts.scatter_add_(1, index, torch.ones_like(index))[:, :-1]


class CodeCounter:
    """Counts codes over an epoch.

    One batch says little: it has fewer words than a codebook has entries. Not a buffer
    of the model, as DistributedDataParallel would overwrite it with rank 0's.

    Args:
        num_codebooks: R.
        codebook_size: K.
    """

    def __init__(self, num_codebooks: int, codebook_size: int):
        self.counts = torch.zeros(num_codebooks, codebook_size, dtype=torch.int64)

    def add(self, codes: torch.Tensor) -> None:
        """Count (..., R) int64 codes, -1 for none."""
        counts = count_codes(codes, self.counts.size(1))
        self.counts = self.counts.to(counts.device) + counts

    def take(self, device: torch.device) -> CodebookUsage:
        """Usage since the last call, by all ranks together: every rank must call.

        Args:
            device: of the model, for the exchange between ranks.
        """
        counts = self.counts.to(device)
        self.counts = torch.zeros_like(counts)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(counts)
        return CodebookUsage.of_counts(counts)
