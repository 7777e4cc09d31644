"""What the TASLM reads and predicts: text and delayed TASTE vectors, position by
position (paper sec. 2.2), for whole batches at once."""

from dataclasses import dataclass
from functools import cached_property

import torch

from espnet2_taste.nn.fusion import AbsFusion
from espnet2_taste.nn.segments import count_words, length_mask, spread_words
from espnet2_taste.taste.tokenizer.abs_quantizer import AbsQuantizer


@dataclass
class TaslmInputs:
    """A batch as the language model sees it; L = longest text + delay + 1.

    Attributes:
        embeds: (B, L, size), zeros in the right padding.
        mask: (B, L) bool, True at real positions.
        lengths: (B,) int64 real positions.
        text_labels: (B, L) int64 token predicted at each position, -1 for none.
        taste_labels: (B, L, R) int64 codes predicted at each position, -1 for none.
        audio: (B, L - 1, audio_size) the audio stream before fusion; entry s belongs
            to position s + 1.
    """

    embeds: torch.Tensor
    mask: torch.Tensor
    lengths: torch.Tensor
    text_labels: torch.Tensor
    taste_labels: torch.Tensor
    audio: torch.Tensor

    @cached_property
    def taste_positions(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(M,) items and (M,) positions that predict codes."""
        return (self.taste_labels[..., 0] >= 0).nonzero(as_tuple=True)


class InputAssembler(torch.nn.Module):
    """Puts text tokens and the TASTE vectors of ``delay`` words earlier side by side.

    A text of N tokens and W words is followed by ``delay`` padding tokens, each a
    virtual word of its own (W, W + 1, ...). Then one rule covers everything: where
    word v is read, the audio is that of word v - delay (``pad_audio`` if negative),
    and where word v starts to be predicted, word v - delay's codes are the label.

    Args:
        fusion: joins the two streams.
        delay: D, words (or tokens) by which the audio follows the text.
        delay_level: ``word``, or ``token`` where audio follows D tokens later.
    """

    def __init__(
        self,
        fusion: AbsFusion,
        delay: int = 1,
        delay_level: str = "word",
    ):
        super().__init__()
        if delay < 0:
            raise ValueError(f"delay must be 0 or more, not {delay}")
        if delay_level not in ("word", "token"):
            raise ValueError(f"delay_level must be word or token, not {delay_level}")
        self.fusion = fusion
        self.delay = delay
        self.delay_level = delay_level
        # Without delay nothing is padded, and an unused parameter would stop DDP.
        for name, size in (("text", fusion.size), ("audio", fusion.audio_size)):
            pad = torch.nn.Parameter(0.02 * torch.randn(size), requires_grad=delay > 0)
            self.register_parameter(f"pad_{name}", pad)

    def forward(
        self,
        lm,
        quantizer: AbsQuantizer,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        word_ids: torch.Tensor,
        taste: torch.Tensor,
        end_label: bool = False,
    ) -> TaslmInputs:
        """Assemble a batch.

        Args:
            lm: the backbone (for its embedding, ``sos_id`` and ``eos_id``).
            quantizer: turns codes into vectors.
            text: (B, N) int64 token ids.
            text_lengths: (B,) int64.
            word_ids: (B, N) int64 word of each token.
            taste: (B, W, R) int64 codes of each word.
            end_label: label the position after the last token with ``eos_id``.
        """
        delay, steps = self.delay, text.size(1) + self.delay
        # The last position predicts nothing, except eos when there is no delay.
        positions = steps + 1 if delay > 0 or end_label else steps
        lengths = text_lengths + positions - text.size(1)
        words = count_words(word_ids, text_lengths)
        index = torch.arange(positions, device=text.device)
        in_text = index < text_lengths[:, None]  # (B, L) both as reader and predictor

        ids = torch.nn.functional.pad(text, (0, positions - text.size(1)))
        audio_word, starts = self._audio_words(
            word_ids, text_lengths, words, index, in_text
        )
        vectors = quantizer.codes_to_embeddings(taste)
        audio = torch.where(
            (audio_word >= 0)[..., None],
            spread_words(vectors, audio_word),
            self.pad_audio,
        )
        embedded = lm.embed(ids)
        embedded = torch.where(in_text[..., None], embedded, self.pad_text)
        fused = self.fusion(embedded[:, :-1], audio[:, :-1])
        sos = lm.embed(ids.new_full((len(ids), 1), lm.sos_id))
        mask = length_mask(lengths, positions)
        embeds = torch.cat([sos.to(fused.dtype), fused], 1) * mask[..., None]

        labelled = starts & (audio_word >= 0) & mask
        labels = spread_words(taste, audio_word)
        taste_labels = torch.where(labelled[..., None], labels, -1)
        text_labels = torch.where(in_text, ids, -1)
        if end_label:
            at_end = index == text_lengths[:, None]
            text_labels = torch.where(at_end, lm.eos_id, text_labels)
        return TaslmInputs(
            embeds, mask, lengths, text_labels, taste_labels, audio[:, : positions - 1]
        )

    def _audio_words(
        self,
        word_ids: torch.Tensor,
        lengths: torch.Tensor,
        words: torch.Tensor,
        index: torch.Tensor,
        in_text: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, L) word whose audio goes with token s (negative: none, also past the
        end), and (B, L) bool whether that word's codes are first due there."""
        extra = len(index) - word_ids.size(1)
        padded = torch.nn.functional.pad(word_ids, (0, extra))
        virtual = words[:, None] + index - lengths[:, None]
        word = torch.where(in_text, padded, virtual)
        starts = word != torch.nn.functional.pad(word[:, :-1], (1, 0), value=-1)
        if self.delay_level == "word":
            audio_word = word - self.delay
        else:
            shift = (self.delay, 0)
            starts = torch.nn.functional.pad(starts, shift)[:, : len(index)]
            audio_word = torch.nn.functional.pad(word, shift, value=-1)
            audio_word = audio_word[:, : len(index)]
        return audio_word.where(audio_word < words[:, None], -1), starts
