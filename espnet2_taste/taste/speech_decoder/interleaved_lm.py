"""Speech units from a causal language model that reads text and units in one sequence.

CosyVoice 2's text-to-speech LM, and, with text vectors that are mixed with TASTE
embeddings, the unit decoder of TASTE2 and TASTE-S: while text arrives, N tokens and M
units take turns (see :mod:`.interleaved_layout`). Weight compatible with the published
``llm.pt`` of CosyVoice 2.
"""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F

from espnet2_taste.nn.backbone import HFCausalBackbone
from espnet2_taste.nn.fusion import AbsFusion
from espnet2_taste.nn.packed_linears import packed_linears
from espnet2_taste.nn.segments import take
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    AbsSpeechDecoder,
    Conditioning,
    GeneratedUnits,
    Sampling,
    SpeechDecoderOutput,
)
from espnet2_taste.taste.speech_decoder.interleaved_layout import (
    SOS,
    TASK,
    UNIT,
    fits_blocks,
    interleaved_layout,
)
from espnet2_taste.taste.speech_decoder.interleaved_streams import InterleavedStreams
from espnet2_taste.taste.speech_decoder.streams import DecoderStreams, SpokenPrompt


class InterleavedLMDecoder(AbsSpeechDecoder):
    """A causal LM over text, fused with TASTE embeddings, and units.

    The speaker is heard in the units' sound only: as in CosyVoice 2, the LM does not
    read ``spk_emb``.

    Args:
        vocab_size: text vocabulary.
        audio_size: width of the quantised TASTE embeddings.
        num_units: V. The end of speech has the id V; V + 1 is not used; the fill, which
            says that text is due, is V + 2.
        spk_embed_dim: not used.
        fusion: makes the fusion from (size, audio_size).
        lm_conf: options of :class:`~espnet2_taste.nn.backbone.HFCausalBackbone`:
            ``model`` (hub id or folder) or ``config``, and ``lora``, ``freeze``,
            ``dtype`` ... A ``config`` without ``vocab_size`` has the text vocabulary's.
        own_text_table: a new table of text vectors in place of the LM's own, for
            another vocabulary than the LM's.
        mix_ratio: N text tokens, then M units of a bi-stream block.
        bistream_prob: share of training utterances laid out in blocks, of those that
            have more than M / N units a token. 1: :meth:`generate` works in blocks, and
            so does evaluation; else they read the whole text first.
        label_smoothing: share of the target's probability given to all others.
        min_ratio: no end before int(min_ratio * n) units of n tokens, where the whole
            text is read first.
        max_ratio: generation stops after int(max_ratio * n) units.
        top_p, ras_window: of :class:`Sampling` where it does not say.
    """

    takes_prompts = True
    #: what :meth:`generate` and :meth:`open_streams` run on
    streams_class = InterleavedStreams

    def __init__(
        self,
        vocab_size: int,
        audio_size: int,
        num_units: int,
        spk_embed_dim: int,
        fusion: Callable[[int, int], AbsFusion],
        lm_conf: dict,
        own_text_table: bool = False,
        mix_ratio: tuple[int, int] | list[int] = (5, 15),
        bistream_prob: float = 0.5,
        label_smoothing: float = 0.0,
        min_ratio: float = 2.0,
        max_ratio: float = 20.0,
        top_p: float = 0.8,
        ras_window: int = 10,
    ):
        super().__init__()
        if len(mix_ratio) != 2 or min(mix_ratio) < 1:
            raise ValueError(f"mix_ratio {mix_ratio}: expected tokens and units >= 1")
        if not 0 <= bistream_prob <= 1 or not 0 <= label_smoothing < 1:
            raise ValueError(
                f"bistream_prob {bistream_prob} and label_smoothing {label_smoothing} "
                "must be in 0..1"
            )
        if not max(min_ratio, mix_ratio[1] / mix_ratio[0]) <= max_ratio:
            raise ValueError(
                f"max_ratio {max_ratio} is less than min_ratio {min_ratio} or than "
                f"{mix_ratio[1]} / {mix_ratio[0]} units a token (mix_ratio)"
            )
        self.num_units = num_units
        self.mix_ratio = tuple(mix_ratio)
        self.bistream_prob = bistream_prob
        self.label_smoothing = label_smoothing
        self.min_ratio = min_ratio
        self.max_ratio = max_ratio
        self.sampling_defaults = {"top_p": top_p, "ras_window": ras_window}
        self.llm = _open(vocab_size, lm_conf, own_text_table)
        size = self.llm.size
        self.text_embedding = (
            torch.nn.Embedding(vocab_size, size) if own_text_table else None
        )
        self.fusion = fusion(size, audio_size)
        self.audio_size = audio_size
        self.llm_embedding = torch.nn.Embedding(2, size)  # sos, task
        self.speech_embedding = torch.nn.Embedding(num_units + 3, size)
        self.llm_decoder = torch.nn.Linear(size, num_units + 3)

    @property
    def end(self) -> int:
        """Id of the end of speech."""
        return self.num_units

    @property
    def fill(self) -> int:
        """Id that says: text is due."""
        return self.num_units + 2

    @property
    def in_blocks(self) -> bool:
        """Whether :meth:`generate` works in blocks of text and units."""
        return self.bistream_prob == 1

    def forward(
        self,
        cond: Conditioning,
        units: torch.Tensor,
        units_lengths: torch.Tensor,
        durations: torch.Tensor | None = None,
        prosody: torch.Tensor | None = None,
    ) -> SpeechDecoderOutput:
        """Teacher-forced loss over units, ends and fills; durations are not used.

        Which utterances are laid out in blocks is drawn in training.

        Returns:
            logits (B, L, num_units + 3) of all positions, L = most tokens plus units of
            an item, plus 2; targets -1 where nothing is predicted.
        """
        fits = fits_blocks(cond.text.lengths, units_lengths, self.mix_ratio)
        if self.training:
            drawn = torch.rand(len(units), device=units.device) < self.bistream_prob
            fits = fits & drawn
        elif not self.in_blocks:
            fits = torch.zeros_like(fits)
        return self.teacher_forced(cond, units, units_lengths, fits)

    def teacher_forced(
        self,
        cond: Conditioning,
        units: torch.Tensor,
        units_lengths: torch.Tensor,
        in_blocks: torch.Tensor,
    ) -> SpeechDecoderOutput:
        """:meth:`forward` with the layout of each item: (B,) bool, in blocks or not."""
        text = self.fused_text(cond.text.ids, cond.audio)
        slot = torch.arange(units.size(1), device=units.device)
        safe = units.masked_fill(slot >= units_lengths[:, None], 0)
        layout = interleaved_layout(
            cond.text.lengths,
            safe,
            units_lengths,
            in_blocks,
            self.mix_ratio,
            self.num_units,
        )
        symbols = self.llm_embedding.weight.expand(len(units), -1, -1)
        table = torch.cat([text, self.speech_embedding(safe), symbols], dim=1)
        sizes = text.size(1), units.size(1)
        order = layout.index + (layout.kinds == UNIT) * sizes[0]
        order = torch.where(layout.kinds == SOS, sum(sizes), order)
        order = torch.where(layout.kinds == TASK, sum(sizes) + 1, order)
        hidden = self.llm(take(table, order)).hidden  # causal: padding needs no mask
        logits = self.unit_logits(hidden)
        loss = self._loss(logits.flatten(0, 1), layout.targets.flatten())
        return SpeechDecoderOutput(loss, logits, layout.targets)

    def _loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean divergence from smoothed targets: cross-entropy without smoothing."""
        share, others = self.label_smoothing, logits.size(-1) - 1
        smoothing = share * (others + 1) / others  # torch's includes the target
        loss = F.cross_entropy(
            logits, targets, ignore_index=-1, label_smoothing=smoothing
        )
        if not share:
            return loss
        scale = torch.tensor([1 - share, share / others], dtype=torch.float64)
        entropy = -(scale * scale.log() * torch.tensor([1, others])).sum()
        return loss - float(entropy)

    @property
    def text_size(self) -> int:
        """Rows of the table of text vectors."""
        table = self.text_embedding
        return self.llm.vocab_size if table is None else table.num_embeddings

    def fused_text(self, ids: torch.Tensor, audio: torch.Tensor | None) -> torch.Tensor:
        """(..., L) int64 tokens and their (..., L, audio_size) TASTE embeddings or None
        -> (..., L, size), what the LM reads."""
        table = self.llm.embed if self.text_embedding is None else self.text_embedding
        text = table(ids).to(self.speech_embedding.weight.dtype)
        return text if audio is None else self.fusion(text, audio.to(text.dtype))

    def unit_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., size) states of the LM -> (..., num_units + 3)."""
        return self.llm_decoder(hidden.to(self.llm_decoder.weight.dtype))

    @torch.no_grad()
    def generate(
        self,
        cond: Conditioning,
        sampling: Sampling,
        item_seeds: list[int] | None = None,
        prompts: Sequence[SpokenPrompt | None] | None = None,
        in_blocks: bool | None = None,
    ) -> GeneratedUnits:
        """Sample units for a whole batch: texts once, then one cached step a unit.

        Args:
            cond, sampling, item_seeds: see the base class.
            prompts: per item what has been said before, whose voice goes on.
            in_blocks: bi-stream generation, as :meth:`open_streams` does it; default:
                where the model was trained on nothing else (``bistream_prob`` 1).
        """
        in_blocks = self.in_blocks if in_blocks is None else in_blocks
        streams = self._streams(
            len(cond.text.ids), sampling, item_seeds, prompts, in_blocks
        )
        text = self.fused_text(cond.text.ids, cond.audio)
        lengths = cond.text.lengths.tolist()
        streams.take(
            [row[:n] for row, n in zip(text, lengths, strict=True)], [True] * len(text)
        )
        stepped = torch.nn.ModuleList([self.llm, self.llm_decoder])
        with packed_linears(stepped, rows=len(text)):
            made = streams.pull(most=None)
        num = [len(units) for units in made]
        units = torch.nn.utils.rnn.pad_sequence(made, batch_first=True)
        device = text.device
        return GeneratedUnits(units.to(device), torch.tensor(num, device=device))

    def open_streams(
        self,
        spk_emb: torch.Tensor,
        sampling: Sampling,
        item_seeds: list[int] | None = None,
        prompts: Sequence[SpokenPrompt | None] | None = None,
    ) -> DecoderStreams:
        """Bi-stream generation while text arrives: after N tokens follow M units.

        A stream's units are those of ``generate(..., in_blocks=True)``. Without
        bi-stream training (``bistream_prob`` 0) units follow the end of the text.

        Args:
            spk_emb: (B, S); only B counts.
            sampling, item_seeds: see the base class.
            prompts: see :meth:`generate`.
        """
        in_blocks = self.bistream_prob > 0
        return self._streams(len(spk_emb), sampling, item_seeds, prompts, in_blocks)

    def _streams(
        self, count, sampling, item_seeds, prompts, in_blocks
    ) -> InterleavedStreams:
        return self.streams_class(
            self, count, sampling, item_seeds, prompts, in_blocks=in_blocks
        )


def _open(vocab_size: int, lm_conf: dict, own_text_table: bool) -> HFCausalBackbone:
    """The LM; what of it is never used (its output layer, a table that is replaced) is
    not trained."""
    conf, rows = dict(lm_conf), 1 if own_text_table else vocab_size
    if conf.get("config") is not None:
        defaults = {"vocab_size": rows, "tie_word_embeddings": True}
        defaults |= {"bos_token_id": None, "eos_token_id": None}
        conf["config"] = defaults | conf["config"]
    llm = HFCausalBackbone(rows, **{"sos_id": 0, "eos_id": 0, **conf})
    read, written = (
        llm.causal_lm.get_input_embeddings().weight,
        llm.causal_lm.get_output_embeddings().weight,
    )
    if own_text_table:
        read.requires_grad_(False)
    if written is not read:
        written.requires_grad_(False)
    return llm
