"""Masked-parallel unit decoder: a few passes over all units instead of one per unit.

After "Discrete Diffusion for Generative Modeling of Text-Aligned Speech Tokens": a
bidirectional transformer sees the fused text and TASTE vectors (paper eq. 6) and the
unit sequence, in which units are replaced by a mask symbol, and predicts them all. Its
authors published no code; the choices below are ours where their paper is silent.

Tokens and units share one time axis: a token stands at the middle of the stretch that a
duration predictor gives it, and rotary positions (in units) let a unit find its token.
Besides, each unit is told the vector of the token in whose stretch it lies, as by
FastSpeech's length regulator. The predicted durations add up to the utterance's length.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from espnet2_taste.nn.fusion import AbsFusion, without_audio
from espnet2_taste.nn.segments import (
    count_segments,
    length_mask,
    pool_segments,
    spread_segments,
    take,
)
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    AbsSpeechDecoder,
    Conditioning,
    GeneratedUnits,
    Sampling,
    SpeechDecoderOutput,
    check_shares,
    own_temperature,
)
from espnet2_taste.taste.speech_decoder.bidirectional import BidirectionalTransformer
from espnet2_taste.taste.speech_decoder.confidence import CONFIDENCES, kept
from espnet2_taste.taste.speech_decoder.prosody_hint import ProsodyHint
from espnet2_taste.taste.speech_decoder.sampling import UnitSampler, draw
from espnet2_taste.taste.speech_decoder.token_spans import (
    duration_error,
    owners,
    scaled,
    training_spans,
    word_durations,
)
from espnet2_taste.text.view import TextView


@dataclass
class _Canvas:
    """What all passes over an utterance share.

    Attributes:
        tokens: (B, L, size) what stands before the units.
        places: (B, U, size) what is added to each unit.
        position: (B, L + U) float, in units.
        mask: (B, L + U) bool, True where there is a token or unit.
    """

    tokens: torch.Tensor
    places: torch.Tensor
    position: torch.Tensor
    mask: torch.Tensor


class MaskedParallelDecoder(AbsSpeechDecoder):
    """Absorbing-state model of the units given text, TASTE and speaker.

    Training masks each unit of an utterance with a probability drawn from U(0, 1) and
    takes the mean cross-entropy of masked units (the MDLM objective without its 1 / t
    weight). Generation starts from masks only and keeps, in each of K steps, the
    predictions that the model is surest of.

    Args:
        vocab_size: text vocabulary.
        audio_size: width of the quantised TASTE embeddings.
        num_units: unit vocabulary; the mask has the id ``num_units``.
        spk_embed_dim: width of speaker embeddings.
        fusion: makes the fusion from (size, audio_size).
        size: model width.
        num_layers: layers of the transformer over tokens and units.
        text_layers: layers of the text encoder.
        num_heads: attention heads of both.
        ffn_ratio: feed-forward width over ``size``.
        dropout: of embeddings and residual branches.
        duration_weight: of the squared error of ln durations: of words where training
            data have ``durations``, else of whole utterances.
        prosody_weight: of the error of words' predicted pitch, duration and pause,
            which their tokens are told then, see :class:`ProsodyHint`; 0: they are not.
        prosody_noise: see :class:`ProsodyHint`.
        max_units_per_token: longest token in generation, in units.
        num_steps: K. 1 predicts all units at once.
        confidence, top_p: which predictions a step keeps, see :func:`kept`.
        audio_dropout: share of training utterances that see the text only, which
            guidance needs.
        guidance: classifier-free guidance on TASTE: logits are moved by so many times
            their difference from those of the same tokens, told the prosody that text
            alone foretells (with ``prosody_weight`` 0: from those of text alone); 0 is
            off, others cost twice the network evaluations.
        temperature: of :class:`Sampling` where it does not say.
    """

    def __init__(
        self,
        vocab_size: int,
        audio_size: int,
        num_units: int,
        spk_embed_dim: int,
        fusion: Callable[[int, int], AbsFusion],
        size: int = 1024,
        num_layers: int = 7,
        text_layers: int = 3,
        num_heads: int = 8,
        ffn_ratio: float = 2.0,
        dropout: float = 0.0,
        duration_weight: float = 0.2,
        prosody_weight: float = 0.0,
        prosody_noise: float = 0.2,
        max_units_per_token: int = 200,
        num_steps: int = 10,
        confidence: str = "top_k",
        top_p: float = 0.3,
        audio_dropout: float = 0.0,
        guidance: float = 0.0,
        temperature: float = 1.0,
    ):
        super().__init__()
        if num_steps < 1 or max_units_per_token < 1:
            raise ValueError("num_steps and max_units_per_token must be at least 1")
        if confidence not in CONFIDENCES:
            raise ValueError(f"confidence {confidence!r} is not in {CONFIDENCES}")
        if not 0 < top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], got {top_p}")
        check_shares(audio_dropout=audio_dropout)
        self.num_units = num_units
        self.duration_weight = duration_weight
        self.prosody_weight = prosody_weight
        self.requires_prosody = prosody_weight > 0
        self.max_units_per_token = max_units_per_token
        self.num_steps = num_steps
        self.confidence = confidence
        self.top_p = top_p
        self.audio_dropout = audio_dropout
        self.guidance = guidance
        self.sampling_defaults = own_temperature(temperature)
        sizes = (num_heads, ffn_ratio, dropout)
        self.text_embedding = torch.nn.Embedding(vocab_size, size)
        self.text_encoder = BidirectionalTransformer(size, text_layers, *sizes)
        self.fusion = fusion(size, audio_size)
        self.token_proj = torch.nn.Linear(size, size)
        self.duration_predictor = torch.nn.Sequential(
            torch.nn.Linear(size, size), torch.nn.ReLU(), torch.nn.Linear(size, 1)
        )
        self.prosody_hint = None
        if self.requires_prosody:
            self.prosody_hint = ProsodyHint(size, prosody_noise)
        self.own_token = torch.nn.Linear(size, size, bias=False)
        self.unit_embedding = torch.nn.Embedding(num_units + 1, size)
        # no louder than the tokens: else units are learnt from units, and errors spread
        torch.nn.init.normal_(self.unit_embedding.weight, std=0.4)
        self.spk_proj = torch.nn.Linear(spk_embed_dim, size)
        self.dropout = torch.nn.Dropout(dropout)
        self.transformer = BidirectionalTransformer(size, num_layers, *sizes)
        self.head = torch.nn.Linear(size, num_units)

    def forward(
        self,
        cond: Conditioning,
        units: torch.Tensor,
        units_lengths: torch.Tensor,
        durations: torch.Tensor | None = None,
        prosody: torch.Tensor | None = None,
    ) -> SpeechDecoderOutput:
        """Loss over masked units, of the durations and of the words' prosody.

        In eval mode every second unit is masked, whatever the batch: the loss can be
        compared over epochs.

        Returns:
            logits (B, U, num_units); targets are -1 where the unit was not masked.

        Raises:
            ValueError: without prosody where training needs it.
        """
        fused = self._fuse(cond)
        valid = length_mask(units_lengths, units.size(1))
        slot = torch.arange(units.size(1), device=units.device)
        if self.training:
            level = torch.rand(len(units), 1, device=units.device)
            masked = torch.rand(units.shape, device=units.device) < level
        else:
            masked = (slot % 2 == 0).expand(units.shape)
        masked = masked & valid
        inputs = units.masked_fill(masked | ~valid, self.num_units)
        log_spans = self._log_spans(fused)
        spans = training_spans(log_spans.detach(), cond.text, units_lengths, durations)
        told, prosody_error = self._told(fused, cond.text, prosody)
        canvas = self._canvas(told, spans, cond, units_lengths, units.size(1))
        logits = self._logits(inputs, canvas)
        targets = units.masked_fill(~masked, -1)
        # a batch of all-unmasked utterances has no target
        loss = F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="sum"
        ) / masked.sum().clamp(min=1)
        error = duration_error(log_spans, cond.text, units_lengths, durations)
        loss = loss + self.duration_weight * error + self.prosody_weight * prosody_error
        return SpeechDecoderOutput(loss, logits, targets)

    @torch.no_grad()
    def generate(
        self,
        cond: Conditioning,
        sampling: Sampling,
        item_seeds: list[int] | None = None,
        lengths: torch.Tensor | None = None,
    ) -> GeneratedUnits:
        """Fill in the units of a whole batch in ``num_steps`` passes.

        ``sampling.top_k = 1`` is deterministic, as Conf-TopK is.

        Args:
            cond, sampling, item_seeds: see the base class.
            lengths: (B,) int64 units of each item; default: as predicted.

        Returns:
            units, their number, and units per word (B, W).
        """
        fused = self._fuse(cond)
        spans = self._log_spans(fused).exp().clamp(max=self.max_units_per_token)
        spans = spans * length_mask(cond.text.lengths, spans.size(1))
        if lengths is None:
            spoken = (cond.text.lengths > 0).long()
            lengths = torch.maximum(spans.sum(1).round().long(), spoken)
        spans = scaled(spans, lengths)
        size = int(lengths.max()) if len(lengths) else 0
        views = [self._told(fused, cond.text)[0]]
        if self.guidance and cond.audio is not None:
            alone = self._fuse(Conditioning(cond.text, None, cond.spk_emb))
            views.append(self._told(alone, cond.text)[0])
            if self.prosody_hint is not None:
                views[1] += fused - alone  # of the same words, told another prosody
        canvases = [self._canvas(view, spans, cond, lengths, size) for view in views]
        sampling = self.configured(sampling)
        sampler = UnitSampler(sampling, len(lengths), fused.device, item_seeds)
        uniforms = sampler.uniforms(lengths.tolist(), self.num_steps)

        valid = length_mask(lengths, size)
        units = lengths.new_full((len(lengths), size), self.num_units)
        for step in range(self.num_steps if size else 0):
            logits, *others = (self._logits(units, x).float() for x in canvases)
            for plain in others:
                logits = logits + self.guidance * (logits - plain)
            drawn = draw(logits, uniforms[..., step], sampling)
            sure = logits.softmax(-1).gather(-1, drawn[..., None]).squeeze(-1)
            masked = (units == self.num_units) & valid
            sure = sure.masked_fill(~masked, -1.0)
            # so many are known after this step
            due = -(-lengths * (step + 1) // self.num_steps)  # ceil
            certain = kept(sure, masked, lengths, due, self.confidence, self.top_p)
            units = torch.where(certain, drawn, units)
        units = units.masked_fill(~valid, 0)
        return GeneratedUnits(units, lengths, word_durations(spans, cond.text))

    def _fuse(self, cond: Conditioning) -> torch.Tensor:
        """Text encoding fused with TASTE where there is any: (B, L, size)."""
        text = cond.text
        x = self.dropout(self.text_embedding(text.ids))
        position = torch.arange(x.size(1), device=x.device, dtype=torch.float32)
        mask = length_mask(text.lengths, x.size(1))
        x = self.text_encoder(x, position.expand(len(x), -1), mask)
        if cond.audio is None:
            return x
        fused = self.fusion(x, cond.audio.to(x.dtype))
        return without_audio(fused, x, self.audio_dropout * self.training)

    def _log_spans(self, fused: torch.Tensor) -> torch.Tensor:
        """(B, L, size) -> (B, L) ln units of each token, float32."""
        return self.duration_predictor(fused).squeeze(-1).float().clamp(-5.0, 7.0)

    def _told(
        self, fused: torch.Tensor, text: TextView, prosody: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, L, size) fused tokens, with their words' prosody if they are to be told,
        and the error of its prediction; see :meth:`ProsodyHint.taught`."""
        if self.prosody_hint is None:
            return fused, fused.new_zeros(())
        num_words = count_segments(text.word_ids, text.lengths)
        size = max(int(num_words.max()), 1)
        words = pool_segments(fused, text.word_ids, text.lengths, size)
        told, error = self.prosody_hint.taught(words, num_words, prosody)
        return fused + spread_segments(told - words, text.word_ids), error

    def _canvas(
        self,
        fused: torch.Tensor,
        spans: torch.Tensor,
        cond: Conditioning,
        units_lengths: torch.Tensor,
        size: int,
    ) -> _Canvas:
        """Tokens and ``size`` empty places for units, ``units_lengths`` of them used.

        Args:
            fused: (B, L, size).
            spans: (B, L) units of each token.
        """
        speaker = self.spk_proj(F.normalize(cond.spk_emb, dim=-1))[:, None]
        own = owners(spans, cond.text.lengths, size)
        middle = spans.cumsum(1) - spans / 2 - 0.5  # unit u is at u
        slot = torch.arange(size, device=spans.device, dtype=torch.float32)
        valid = [(cond.text.lengths, fused.size(1)), (units_lengths, size)]
        return _Canvas(
            self.token_proj(fused) + speaker,
            take(self.own_token(fused), own) + speaker,
            torch.cat([middle, slot.expand(len(spans), -1)], dim=1),
            torch.cat([length_mask(*one) for one in valid], dim=1),
        )

    def _logits(self, units: torch.Tensor, canvas: _Canvas) -> torch.Tensor:
        """One pass: (B, U) units or masks -> (B, U, num_units)."""
        x = torch.cat([canvas.tokens, canvas.places + self.unit_embedding(units)], 1)
        hidden = self.transformer(self.dropout(x), canvas.position, canvas.mask)
        return self.head(hidden[:, canvas.tokens.size(1) :])
