"""What a backbone of the TASLM and of the speech decoder ``interleaved_lm`` is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch


@dataclass
class LMOutput:
    """One pass of the language model.

    Attributes:
        hidden: (B, L, size) last hidden states, after the final norm; see
            :meth:`AbsBackbone.logits`.
        cache: keys and values of everything read so far; None without ``use_cache``.
    """

    hidden: torch.Tensor
    cache: Any = None


class AbsBackbone(torch.nn.Module, ABC):
    """A causal LM that reads vectors.

    Attributes:
        size: width of its vectors.
        vocab_size: rows of its text embedding.
        sos_id: token every training sequence starts with.
        eos_id: token that ends a text.
    """

    size: int
    vocab_size: int
    sos_id: int
    eos_id: int

    @property
    @abstractmethod
    def has_base(self) -> bool:
        """Whether :meth:`base_hidden` is another model than :meth:`forward`."""

    @abstractmethod
    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """(...) int64 text ids -> (..., size)."""

    @abstractmethod
    def forward(
        self,
        embeds: torch.Tensor,
        mask: torch.Tensor | None = None,
        cache: Any = None,
        use_cache: bool = False,
    ) -> LMOutput:
        """Read (B, L, size) vectors after those in ``cache``.

        ``mask`` (B, cached + L) is True at real positions; padding may be on either
        side. Position numbers count real positions only. Without left padding leave
        it out: what comes later is never read, and faster kernels can be used.
        """

    def new_ragged_cache(self, batch_size: int, **options) -> Any:
        """A cache for :meth:`forward` whose B items go on at different times, one
        position at a time and without a mask. Its ``kv`` is a
        :class:`~espnet2_taste.nn.kv_cache.RaggedKVCache`, which takes ``options``.

        Raises:
            ValueError: this LM has none.
        """
        raise ValueError(f"{type(self).__name__} reads whole batches: give no slots")

    @abstractmethod
    def logits(self, hidden: torch.Tensor, base: bool = False) -> torch.Tensor:
        """(..., size) hidden states -> (..., vocab_size) float32.

        Apart from :meth:`forward`, so that a large vocabulary costs only where text is
        predicted. ``base``: of states by :meth:`base_hidden`, without gradient.
        """

    @abstractmethod
    def base_hidden(
        self, embeds: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(B, L, size) of the LM without its adapters, without gradient."""
