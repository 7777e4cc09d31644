"""What every aggregator offers: one vector per transcript token."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from espnet2_taste.taste.tokenizer.abs_encoder import EncoderOutput


@dataclass
class AggregatorOutput:
    """One vector per transcript token.

    Attributes:
        hidden: (B, L, output_size), before word averaging.
        attention: (B, L, F) cross-attention of the last layer averaged over heads
            (rows sum to 1 over valid frames), or None when it was not asked for.
    """

    hidden: torch.Tensor
    attention: torch.Tensor | None = None


class AbsAggregator(torch.nn.Module, ABC):
    """Cross-attention from transcript tokens to speech frames (paper eq. 2-3).

    Attributes:
        longest: tokens that a text may have.
    """

    longest: int = 1 << 30

    @property
    @abstractmethod
    def output_size(self) -> int:
        """Width of the vectors."""

    @abstractmethod
    def forward(
        self,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        encoder_out: EncoderOutput,
        need_attention: bool = False,
        seen: torch.Tensor | None = None,
    ) -> AggregatorOutput:
        """Aggregate frames into tokens.

        Args:
            text: (B, L) int64 token ids (padding: any id), without special tokens.
            text_lengths: (B,) int64.
            encoder_out: keys and values.
            need_attention: also return the attention map (slower path).
            seen: (B, L) int64 frames, from the first, that each token attends to; None:
                to all. Given only where it is asked for.
        """

    def open_stream(self):
        """For an utterance whose frames and tokens come in pieces, see
        :class:`~espnet2_taste.taste.tokenizer.aggregator_stream.AggregatorStream`.

        Raises:
            ValueError: this aggregator reads an utterance at once.
        """
        raise ValueError(f"{type(self).__name__} reads an utterance at once")
