"""What the TASLM reads and predicts: text and delayed TASTE vectors, position by
position (paper sec. 2.2), for whole batches at once."""

from dataclasses import dataclass
from functools import cached_property

import torch

from espnet2_taste.nn.fusion import AbsFusion
from espnet2_taste.nn.segments import count_segments, length_mask, spread_segments
from espnet2_taste.taste.tokenizer.abs_quantizer import AbsQuantizer
from espnet2_taste.text.view import TextView


@dataclass
class TaslmInputs:
    """A batch as the language model sees it; L = longest text + delay + 1, one less
    without a start symbol.

    Attributes:
        embeds: (B, L, size), zeros in the right padding.
        mask: (B, L) bool, True at real positions.
        lengths: (B,) int64 real positions.
        text_labels: (B, L) int64 token predicted at each position, -1 for none.
        taste_labels: (B, L, R) int64 codes predicted at each position, -1 for none.
        audio: (B, longest text + delay, projected_size) the audio beside each token
            and padding token, projected but not mixed.
        ended: whether the last text label of an item is the end symbol.
    """

    embeds: torch.Tensor
    mask: torch.Tensor
    lengths: torch.Tensor
    text_labels: torch.Tensor
    taste_labels: torch.Tensor
    audio: torch.Tensor
    ended: bool = False

    @cached_property
    def taste_positions(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(M,) items and (M,) positions that predict codes."""
        return (self.taste_labels[..., 0] >= 0).nonzero(as_tuple=True)


class InputAssembler(torch.nn.Module):
    """Puts text tokens beside the TASTE vectors of ``delay`` segments earlier.

    A text of N tokens and S segments (words, in the paper) is followed by ``delay``
    padding tokens, each a virtual segment of its own (S, S + 1, ...). Then one rule
    covers everything: where segment v is read, the audio is that of segment v - delay
    (``pad_audio`` if negative), and where segment v starts to be predicted, segment
    v - delay's codes are the label.

    Segments that nobody says (a chat template's tokens) have codes -1: their TASTE
    vectors are zero, as TASTE2's, and they are no label.

    Args:
        fusion: joins the two streams.
        delay: D, segments (or tokens) by which the audio follows the text.
        delay_level: ``word``: D counts segments; ``token``: it counts tokens.
        start_symbol: the first position is the LM's ``sos_id``. False (TASTE2): it is
            the first token, which nothing predicts.
        pad_projected: ``pad_audio`` has the width of the projected audio (TASTE2)
            instead of the TASTE vectors'.
    """

    def __init__(
        self,
        fusion: AbsFusion,
        delay: int = 1,
        delay_level: str = "word",
        start_symbol: bool = True,
        pad_projected: bool = False,
    ):
        super().__init__()
        if delay < 0:
            raise ValueError(f"delay must be 0 or more, not {delay}")
        if delay_level not in ("word", "token"):
            raise ValueError(f"delay_level must be word or token, not {delay_level}")
        self.fusion = fusion
        self.delay = delay
        self.delay_level = delay_level
        self.start_symbol = start_symbol
        self.pad_projected = pad_projected
        audio_size = fusion.projected_size if pad_projected else fusion.audio_size
        # Without delay nothing is padded, and an unused parameter would stop DDP.
        for name, size in (("text", fusion.size), ("audio", audio_size)):
            pad = torch.nn.Parameter(0.02 * torch.randn(size), requires_grad=delay > 0)
            self.register_parameter(f"pad_{name}", pad)

    @property
    def padding(self) -> torch.Tensor:
        """(projected_size,) the audio where there is none."""
        pad = self.pad_audio
        return pad if self.pad_projected else self.fusion.project(pad)

    def forward(
        self,
        lm,
        quantizer: AbsQuantizer,
        text: TextView,
        taste: torch.Tensor,
        end_label: bool = False,
        learned: torch.Tensor | None = None,
        latents: torch.Tensor | None = None,
    ) -> TaslmInputs:
        """Assemble a batch.

        Args:
            lm: the backbone (for its embedding, ``sos_id`` and ``eos_id``).
            quantizer: turns codes into vectors.
            text: of N tokens, in the LM's vocabulary.
            taste: (B, S, R) int64 codes of each segment, -1 where it has none.
            end_label: label the position after the last token with ``eos_id``.
            learned: (B, N) int64, 1 at tokens that are labels, as are their segments'
                codes; a segment's tokens agree. None: all.
            latents: (B, S, D) vectors that are read in place of the codes' own, where
                they are not NaN.
        """
        size, text_lengths, delay = text.ids.size(1), text.lengths, self.delay
        steps = size + delay
        # The last position predicts nothing, except eos when there is no delay.
        positions = steps + 1 if delay > 0 or end_label else steps
        lengths = text_lengths + positions - size
        segments = count_segments(text.segment_ids, text_lengths)
        index = torch.arange(positions, device=text.ids.device)
        in_text = index < text_lengths[:, None]  # (B, L) both as reader and predictor

        ids = torch.nn.functional.pad(text.ids, (0, positions - size))
        heard, starts = self._audio_segments(text, segments, index, in_text)
        heard_as = quantizer.codes_to_latent(taste)
        if latents is not None:
            heard_as = torch.where(latents.isnan(), heard_as, latents)
        vectors = quantizer.project_out(heard_as)
        vectors = self.fusion.project(vectors * (taste[..., :1] >= 0))
        audio = torch.where(
            (heard >= 0)[..., None], spread_segments(vectors, heard), self.padding
        )
        embedded = lm.embed(ids)
        embedded = torch.where(in_text[..., None], embedded, self.pad_text)
        fused = self.fusion.mix(embedded[:, :-1], audio[:, :-1])
        sos = lm.embed(ids.new_full((len(ids), 1), lm.sos_id))
        mask = length_mask(lengths, positions)
        embeds = torch.cat([sos.to(fused.dtype), fused], 1) * mask[..., None]

        labelled = starts & (heard >= 0) & mask
        if learned is not None:
            wanted = _learned_segments(text, learned, taste.size(1))
            labelled = labelled & spread_segments(wanted, heard)
        labels = spread_segments(taste, heard)
        taste_labels = torch.where(labelled[..., None], labels, -1)
        text_labels = torch.where(in_text, ids, -1)
        if learned is not None:
            wanted = torch.nn.functional.pad(learned, (0, positions - size)) > 0
            text_labels = torch.where(wanted, text_labels, -1)
        if end_label:
            at_end = index == text_lengths[:, None]
            text_labels = torch.where(at_end, lm.eos_id, text_labels)
        audio = audio[:, : positions - 1]
        if not self.start_symbol:
            embeds, mask, lengths = embeds[:, 1:], mask[:, 1:], lengths - 1
            text_labels, taste_labels = text_labels[:, 1:], taste_labels[:, 1:]
        return TaslmInputs(
            embeds, mask, lengths, text_labels, taste_labels, audio, end_label
        )

    def _audio_segments(
        self,
        text: TextView,
        segments: torch.Tensor,
        index: torch.Tensor,
        in_text: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, L) segment whose audio goes with token s (negative: none, also past the
        end), and (B, L) bool whether that segment's codes are first due there."""
        extra = len(index) - text.ids.size(1)
        padded = torch.nn.functional.pad(text.segment_ids, (0, extra))
        virtual = segments[:, None] + index - text.lengths[:, None]
        read = torch.where(in_text, padded, virtual)
        starts = read != torch.nn.functional.pad(read[:, :-1], (1, 0), value=-1)
        if self.delay_level == "word":
            heard = read - self.delay
        else:
            shift = (self.delay, 0)
            starts = torch.nn.functional.pad(starts, shift)[:, : len(index)]
            heard = torch.nn.functional.pad(read, shift, value=-1)[:, : len(index)]
        return heard.where(heard < segments[:, None], -1), starts


def _learned_segments(text: TextView, learned: torch.Tensor, size: int) -> torch.Tensor:
    """(B, S) bool, segments with a token that is learned."""
    valid = length_mask(text.lengths, learned.size(1))
    index = text.segment_ids.clamp(max=size - 1)
    counts = learned.new_zeros(len(learned), size)
    return counts.scatter_add(1, index, learned * valid) > 0
