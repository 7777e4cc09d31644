"""How much of another reading's codes each word has; every change can be undone."""

from dataclasses import dataclass, replace

import torch


def mixed(
    own: torch.Tensor, other: torch.Tensor, segments: list[int], amounts: list[float]
) -> torch.Tensor:
    """Latents between two readings of one text.

    Args:
        own: (S, D) latents of a reading's segments.
        other: (S, D) of another one, or of the average code.
        segments: S indices of the words that they belong to.
        amounts: of the other one in each word: 0 none, 1 all; at both ends the result
            is what exchanging the codes gives.

    Raises:
        ValueError: the readings do not have the same segments.
    """
    if own.shape != other.shape:
        raise ValueError(
            "The two readings do not say the same words: only readings of the same "
            "text can be mixed word by word."
        )
    share = torch.tensor([amounts[word] for word in segments], dtype=own.dtype)[:, None]
    return own + share * (other - own)


@dataclass(frozen=True)
class Mix:
    """Amounts of all words, and what they were before.

    Attributes:
        amounts: 0 to 1, of each word.
        before: earlier amounts, the oldest first.
    """

    amounts: tuple[float, ...]
    before: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def none(cls, words: int) -> "Mix":
        """Nothing of the other reading."""
        return cls((0.0,) * words)

    def changed(self, amounts) -> "Mix":
        """With other amounts.

        Args:
            amounts: from the page, hence anything.

        Raises:
            ValueError: they are no numbers from 0 to 1, one for each word.
        """
        try:
            given = tuple(float(amount) for amount in amounts)
        except (TypeError, ValueError):
            given = ()
        if len(given) != len(self.amounts) or not all(0 <= x <= 1 for x in given):
            raise ValueError("These amounts are not those of this sentence's words.")
        if given == self.amounts:
            return self
        return replace(self, amounts=given, before=(*self.before, self.amounts))

    def undone(self) -> "Mix":
        """As before the last change; unchanged, if there was none."""
        if not self.before:
            return self
        return Mix(self.before[-1], self.before[:-1])
