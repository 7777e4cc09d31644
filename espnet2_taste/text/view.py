"""One text in one vocabulary, for a whole batch."""

from dataclasses import dataclass
from typing import Literal

import torch

#: What a segment is: a word, or a token of the vocabulary that the codes belong to.
GRANULARITIES = ("word", "token")
#: Name of the vocabulary of ``token_type`` and ``token_model``.
MAIN = "text"


@dataclass
class TextView:
    """A batch of texts as one vocabulary writes them.

    Every vocabulary has the same words. TASTE codes belong to *segments*: to words, or
    (``granularity: token``) to the tokens of one vocabulary.

    Attributes:
        ids: (B, L) int64 tokens, anything in the padding.
        lengths: (B,) int64 tokens of each item.
        word_ids: (B, L) int64 word of each token: 0, 0, 1, 2, ... W-1.
        segment_ids: (B, L) int64 segment of each token, 0 ... S-1; default: its word.
    """

    ids: torch.Tensor
    lengths: torch.Tensor
    word_ids: torch.Tensor
    segment_ids: torch.Tensor | None = None

    def __post_init__(self):
        if self.segment_ids is None:
            self.segment_ids = self.word_ids

    @classmethod
    def of(
        cls,
        batch: dict[str, torch.Tensor],
        granularity: Literal["word", "token"] = "word",
        vocabulary: str = MAIN,
    ) -> "TextView":
        """The view of a batch that TastePreprocessor and TasteCollate made.

        Args:
            batch: has ``text``, ``text_lengths`` and ``word_ids``, or for another
                vocabulary than the main one ``text_<name>`` and so on.
            granularity: what segments are.
            vocabulary: its name.
        """
        text, word_ids = text_keys(vocabulary)
        words = batch[word_ids]
        segments = words
        if granularity == "token":
            index = torch.arange(words.size(1), device=words.device)
            segments = index.expand_as(words)
        return cls(batch[text], batch[text + "_lengths"], words, segments)


def text_keys(vocabulary: str) -> tuple[str, str]:
    """Names of a vocabulary's token ids and word ids in a batch."""
    end = "" if vocabulary == MAIN else f"_{vocabulary}"
    return f"text{end}", f"word_ids{end}"
