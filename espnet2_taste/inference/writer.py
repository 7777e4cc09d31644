"""From the tokens of finished words to text, with the codes of its segments."""

from dataclasses import dataclass

import torch

from espnet2_taste.inference.base import TaslmInference
from espnet2_taste.taslm.generated import FinishedWord


@dataclass
class Continuation:
    """What a TASLM says next.

    Attributes:
        text: what is said after the prompt. The texts of a stream's pieces, one after
            the other, are that.
        words: its W words.
        codes: (S, R) int64 TASTE codes, a row per word or per token of these words.
        latents: (S, D) float32 the vectors that the codes are the nearest to, for a
            head that predicts such (``gaussian``): what is meant to be said; else None.
    """

    text: str
    words: list[str]
    codes: torch.Tensor
    latents: torch.Tensor | None = None


class Writer:
    """Text of one continuation, as its words are finished.

    Args:
        taslm: who writes.
    """

    def __init__(self, taslm: TaslmInference):
        self.tokenizer = taslm.tokenizer
        self.segmenter = taslm.preprocess.segmenter
        self.each = taslm.model.granularity == "token"
        self.after = ""  # the last word so far
        books = taslm.preprocess.spec.num_codebooks
        self.none = torch.zeros(0, books, dtype=torch.long)
        self.no_latents = None
        if taslm.model.speech_head.continuous:
            self.no_latents = torch.zeros(0, taslm.model.quantizer.codebook_dim)

    def write(self, found: list[FinishedWord]) -> Continuation:
        """The next words."""
        text, words, kept = "", [], []
        for ids, *rows in found:
            word = "".join(self.tokenizer.decode(ids).split())
            if not word:  # a lone word mark writes nothing: its codes go with it
                continue
            spaced = self.tokenizer.piece(ids[0]).startswith(" ")
            if self.after:
                word = self.segmenter.between(spaced) + word
            text += word
            ((word,), (spaced,)) = self.segmenter.split_after(self.after, word)
            if self.each:  # a row per token that the word is split into when read again
                size = len(self.tokenizer.encode_words([word], [spaced])[0])
                index = torch.arange(size) * len(rows[0]) // size
                rows = [values[index] for values in rows]
            self.after = word
            words.append(word)
            kept.append(rows)
        codes = torch.cat([self.none, *(codes for codes, _ in kept)])
        latents = self.no_latents
        if latents is not None:
            latents = torch.cat([latents, *(values for _, values in kept)])
        return Continuation(text, words, codes, latents)
