"""What every speech decoder offers: units from text, TASTE embeddings and a speaker."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from espnet2_taste.text.view import TextView


@dataclass
class Conditioning:
    """What an utterance says (text), how (TASTE), and in whose voice (speaker).

    Attributes:
        text: in the decoder's vocabulary, L tokens.
        audio: (B, L, D) quantised TASTE embeddings, one per *token* (a segment's vector
            repeated over its tokens), or None: text only.
        spk_emb: (B, S) float speaker embeddings.
    """

    text: TextView
    audio: torch.Tensor | None
    spk_emb: torch.Tensor


@dataclass
class SpeechDecoderOutput:
    """Teacher-forced result.

    Attributes:
        loss: scalar, mean cross-entropy over targets.
        logits: (B, N, V).
        targets: (B, N) int64, -1 where there is nothing to predict.
    """

    loss: torch.Tensor
    logits: torch.Tensor
    targets: torch.Tensor


@dataclass
class Sampling:
    """How units are drawn.

    Attributes:
        top_k: candidates kept, renormalised, at each step; 1 = greedy.
        temperature: divides the logits first.
        seed: of the private generator; None draws from torch's global one.
            Each item draws from its own stream (seeded with its key), so that a
            batch gives what single runs give.
    """

    top_k: int = 25
    temperature: float = 1.0
    seed: int | None = None


@dataclass
class GeneratedUnits:
    """Generated units.

    Attributes:
        units: (B, U) int64, 0 after the end.
        lengths: (B,) int64.
        durations: (B, W) int64 units per word where the decoder knows them, else None.
    """

    units: torch.Tensor
    lengths: torch.Tensor
    durations: torch.Tensor | None = None


class AbsSpeechDecoder(torch.nn.Module, ABC):
    """Autoregressive speech decoder (paper sec. 2.1.3)."""

    #: True when training needs ``durations`` (units per word) from an aligner.
    requires_durations: bool = False

    @abstractmethod
    def forward(
        self,
        cond: Conditioning,
        units: torch.Tensor,
        units_lengths: torch.Tensor,
        durations: torch.Tensor | None = None,
    ) -> SpeechDecoderOutput:
        """Teacher-forced loss.

        Args:
            cond: conditioning of the batch.
            units: (B, U) int64 speech units, anything in the padding.
            units_lengths: (B,) int64.
            durations: (B, W) int64 units per word, summing to units_lengths.
        """

    @abstractmethod
    def generate(
        self,
        cond: Conditioning,
        sampling: Sampling,
        item_seeds: list[int] | None = None,
    ) -> GeneratedUnits:
        """Sample units for a whole batch, in eval mode, with key-value caches.

        Args:
            cond: conditioning of the batch.
            sampling: how to draw.
            item_seeds: one integer per item, mixed with ``sampling.seed``; default
                0 for every item.
        """
