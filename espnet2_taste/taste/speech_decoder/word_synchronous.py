"""Word-synchronous unit LM: a speech decoder that streams by construction.

A word's units are followed by an ADVANCE token that moves on to the next word, so the
model cannot skip or repeat words and its durations are explicit. Each step sees the
fused text and TASTE vector (paper eq. 6) of the current word and of the next one, and
how many units the word has left by a duration predicted from its fused vector: a hint
that speaking rate, which the codes carry, reaches the ADVANCE decision within minutes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from espnet2_taste.nn.fusion import AbsFusion, without_audio
from espnet2_taste.nn.kv_cache import KVCache
from espnet2_taste.nn.segments import count_segments, pool_segments
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    AbsSpeechDecoder,
    Conditioning,
    GeneratedUnits,
    Sampling,
    SpeechDecoderOutput,
    check_shares,
    own_temperature,
)
from espnet2_taste.taste.speech_decoder.causal_transformer import CausalTransformer
from espnet2_taste.taste.speech_decoder.prosody_hint import ProsodyHint
from espnet2_taste.taste.speech_decoder.sampling import UnitSampler
from espnet2_taste.taste.speech_decoder.word_layout import noisy_inputs, word_layout
from espnet2_taste.taste.speech_decoder.word_synchronous_running import RunningWords

if TYPE_CHECKING:
    from espnet2_taste.taste.speech_decoder.word_synchronous_streams import (
        WordSynchronousStreams,
    )

#: steps between two looks at whether the whole batch has finished (a host sync)
_CHECK_EVERY = 8


class WordSynchronousDecoder(AbsSpeechDecoder):
    """Causal transformer over units and ADVANCE tokens, driven word by word.

    Args:
        vocab_size: text vocabulary.
        audio_size: width of the quantised TASTE embeddings.
        num_units: unit vocabulary; ADVANCE has the id ``num_units``.
        spk_embed_dim: width of speaker embeddings.
        fusion: makes the fusion from (size, audio_size).
        size: model width.
        num_layers: layers of the unit transformer.
        text_layers: layers of the causal text encoder over words.
        num_heads: attention heads of both.
        ffn_ratio: feed-forward width over ``size``.
        dropout: of embeddings and residual branches.
        unit_noise: share of input units replaced at random in training, against
            memorising and against errors feeding on themselves.
        word_noise: share of words whose input units are all replaced, so that pitch and
            duration are taken from what is known of a word, not from units before.
        max_step: steps within a word, and units left in it, are embedded up to here.
        duration_weight: of the duration predictor's squared error in ln units.
        duration_noise: std of the noise on true ln durations, which stand in for
            predicted ones in training (not in evaluation).
        prosody_weight: of the error of words' predicted pitch, duration and pause,
            which their steps are told then, see :class:`ProsodyHint`; 0: they are not.
        prosody_noise: see :class:`ProsodyHint`.
        max_units_per_word: longest word in generation, in units.
        audio_dropout: share of training utterances that see the text only, which
            guidance needs.
        guidance: classifier-free guidance on TASTE: logits of units and ADVANCE are
            moved by so many times their difference from those of the same words, told
            the prosody that text alone foretells (with ``prosody_weight`` 0: from those
            of text alone); 0 is off, others cost a second row for each utterance.
        temperature: of :class:`Sampling` where it does not say.
    """

    requires_durations = True

    def __init__(
        self,
        vocab_size: int,
        audio_size: int,
        num_units: int,
        spk_embed_dim: int,
        fusion: Callable[[int, int], AbsFusion],
        size: int = 192,
        num_layers: int = 4,
        text_layers: int = 2,
        num_heads: int = 4,
        ffn_ratio: float = 4.0,
        dropout: float = 0.1,
        unit_noise: float = 0.15,
        word_noise: float = 0.0,
        max_step: int = 48,
        duration_weight: float = 0.2,
        duration_noise: float = 0.1,
        prosody_weight: float = 0.0,
        prosody_noise: float = 0.2,
        max_units_per_word: int = 100,
        audio_dropout: float = 0.0,
        guidance: float = 0.0,
        temperature: float = 1.0,
    ):
        super().__init__()
        check_shares(
            unit_noise=unit_noise, word_noise=word_noise, audio_dropout=audio_dropout
        )
        if max_units_per_word < 1:
            raise ValueError("max_units_per_word must be at least 1")
        self.num_units = num_units
        self.unit_noise = unit_noise
        self.word_noise = word_noise
        self.max_step = max_step
        self.duration_weight = duration_weight
        self.duration_noise = duration_noise
        self.prosody_weight = prosody_weight
        self.requires_prosody = prosody_weight > 0
        self.max_units_per_word = max_units_per_word
        self.audio_dropout = audio_dropout
        self.guidance = guidance
        self.sampling_defaults = own_temperature(temperature)
        self.text_embedding = torch.nn.Embedding(vocab_size, size)
        self.text_encoder = CausalTransformer(
            size, text_layers, num_heads, ffn_ratio, dropout
        )
        self.fusion = fusion(size, audio_size)
        self.current_word = torch.nn.Linear(size, size)
        self.next_word = torch.nn.Linear(size, size, bias=False)
        self.end_of_text = torch.nn.Parameter(torch.zeros(size))
        self.unit_embedding = torch.nn.Embedding(num_units + 2, size)
        self.step_embedding = torch.nn.Embedding(max_step + 1, size)
        # of max_step units too many ... none left ... max_step units left
        self.left_embedding = torch.nn.Embedding(2 * max_step + 1, size)
        self.duration_predictor = torch.nn.Sequential(
            torch.nn.Linear(size, size), torch.nn.ReLU(), torch.nn.Linear(size, 1)
        )
        self.prosody_hint = None
        if self.requires_prosody:
            self.prosody_hint = ProsodyHint(size, prosody_noise)
        self.spk_proj = torch.nn.Linear(spk_embed_dim, size)
        self.dropout = torch.nn.Dropout(dropout)
        self.transformer = CausalTransformer(
            size, num_layers, num_heads, ffn_ratio, dropout
        )
        self.head = torch.nn.Linear(size, num_units + 1)

    def forward(
        self,
        cond: Conditioning,
        units: torch.Tensor,
        units_lengths: torch.Tensor,
        durations: torch.Tensor | None = None,
        prosody: torch.Tensor | None = None,
    ) -> SpeechDecoderOutput:
        """Teacher-forced loss over units and ADVANCE tokens.

        Returns:
            logits (B, N, num_units + 1) with N = most units plus words of an item.

        Raises:
            ValueError: without durations, or if they do not fit the units; without
                prosody where training needs it.
        """
        if durations is None:
            raise ValueError(
                "word_synchronous needs durations (units per word) in training: "
                "add durations.scp to the data"
            )
        num_words = count_segments(cond.text.word_ids, cond.text.lengths)
        layout = word_layout(units, units_lengths, durations, num_words, self.num_units)
        text, fused = self._fused_words(cond, num_words)
        fused = without_audio(fused, text, self.audio_dropout * self.training)
        predicted = self._log_durations(fused)
        prosody_error = fused.new_zeros(())
        if self.prosody_hint is not None:
            fused, prosody_error = self.prosody_hint.taught(fused, num_words, prosody)
        context = self._context(fused, num_words, cond)
        batch, slots, size = context.shape
        true = durations[:, :slots].clamp(min=1).to(fused.dtype).log()
        error = (predicted - true)[layout.in_word[:, :slots]]
        expected = predicted
        if self.training:
            expected = true + self.duration_noise * torch.randn_like(true)
        left = expected.exp().gather(1, layout.words) - layout.steps
        # index_select and its gradient are much faster than advanced indexing
        offset = torch.arange(0, batch * slots, slots, device=units.device)[:, None]
        context = context.reshape(-1, size).index_select(
            0, (layout.words + offset).flatten()
        )
        inputs = layout.inputs
        if self.training:
            inputs = noisy_inputs(
                layout, self.num_units, self.unit_noise, self.word_noise
            )
        x = self._embed(inputs, layout.steps, left)
        x = self.dropout(x + context.view_as(x))
        logits = self.head(self.transformer(x))
        loss = F.cross_entropy(
            logits.flatten(0, 1), layout.targets.flatten(), ignore_index=-1
        )
        loss = loss + self.duration_weight * error.square().mean()
        loss = loss + self.prosody_weight * prosody_error
        return SpeechDecoderOutput(loss, logits, layout.targets)

    @torch.no_grad()
    def generate(
        self,
        cond: Conditioning,
        sampling: Sampling,
        item_seeds: list[int] | None = None,
    ) -> GeneratedUnits:
        """Speak every word of every item: 1 to ``max_units_per_word`` units each.

        Returns:
            units without ADVANCE, their number, and units per word (B, W).
        """
        context, expected, num_words = self._words(cond)
        if cond.audio is None:  # nothing to be guided away from
            context = context[:, :, :1]
        batch, slots, views = context.shape[:3]
        rows = torch.arange(batch, device=context.device)
        sampling = self.configured(sampling)
        sampler = UnitSampler(sampling, batch, context.device, item_seeds)
        cache = self.transformer.new_cache(batch * views, context)
        token = num_words.new_full((batch,), self.num_units + 1)
        word, step = torch.zeros_like(token), torch.zeros_like(token)
        durations = token.new_zeros(batch, slots)
        tokens, emitted = [], []
        for time in range(slots * (self.max_units_per_word + 1)):
            if time % _CHECK_EVERY == 0 and bool((word >= num_words).all()):
                break
            spot = word.clamp(max=slots - 1)
            x = self._embed(token, step, expected[rows, spot] - step)
            logits = self._logits(x[:, None] + context[rows, spot], cache)
            token = sampler(self._allowed(logits, step), time)
            advance = token == self.num_units
            emit = ~advance & (word < num_words)
            durations.scatter_add_(1, spot[:, None], emit.long()[:, None])
            tokens.append(token)
            emitted.append(emit)
            word = word + advance.long()
            step = (step + 1).masked_fill(advance, 0)
        if not tokens:  # nobody has words
            return GeneratedUnits(durations[:, :0], torch.zeros_like(token), durations)
        token, emit = torch.stack(tokens, 1), torch.stack(emitted, 1)
        # pack the units to the left; what is not a unit lands in a column cut off
        lengths = emit.sum(1)
        place = (emit.cumsum(1) - 1).masked_fill(~emit, token.size(1))
        packed = F.pad(torch.zeros_like(token), (0, 1)).scatter_(1, place, token)
        return GeneratedUnits(packed[:, : int(lengths.max())], lengths, durations)

    def open_streams(
        self,
        spk_emb: torch.Tensor,
        sampling: Sampling,
        item_seeds: list[int] | None = None,
    ) -> "WordSynchronousStreams":
        """Speak one word behind those that have come; see AbsSpeechDecoder."""
        from espnet2_taste.taste.speech_decoder.word_synchronous_streams import (
            WordSynchronousStreams,
        )

        sampling = self.configured(sampling)
        return WordSynchronousStreams(self, spk_emb, sampling, item_seeds)

    def running(
        self, sampling: Sampling, slots: int, capacity: int | None = None
    ) -> RunningWords:
        """See AbsSpeechDecoder."""
        return RunningWords(self, self.configured(sampling), slots, capacity)

    def stepped(self) -> torch.nn.Module:
        """See AbsSpeechDecoder."""
        return torch.nn.ModuleList([self.transformer, self.head])

    @property
    def views(self) -> int:
        """V, in how many ways a step reads each utterance: with TASTE, and, to be
        guided, with less of it. An utterance has so many rows of a cache, side by side.
        """
        return 2 if self.guidance else 1

    def _words(
        self, cond: Conditioning
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What steps see of words (B, W, V, size), units expected of each (B, W), and
        (B,) the number of words."""
        num_words = count_segments(cond.text.word_ids, cond.text.lengths)
        text, fused = self._fused_words(cond, num_words)
        views = self._told(fused, text).unbind(-2)
        context = [self._context(view, num_words, cond) for view in views]
        return torch.stack(context, 2), self._log_durations(fused).exp(), num_words

    def _fused_words(
        self, cond: Conditioning, num_words: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Causal text encoding of each word, alone and fused with its TASTE vector:
        (B, W, size) each."""
        slots = max(int(num_words.max()), 1)
        words = (cond.text.word_ids, cond.text.lengths, slots)
        text = pool_segments(self.text_embedding(cond.text.ids), *words)
        text = self.text_encoder(self.dropout(text))
        if cond.audio is None:
            return text, text
        audio = pool_segments(cond.audio, *words)
        return text, self.fusion(text, audio)

    def _told(self, fused: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """(..., size) fused words, and their text alone -> (..., V, size): the words
        with a hint of their prosody, if there is one, and what they are guided from."""
        views = (fused, text)[: self.views]
        if self.prosody_hint is not None:
            views = [self.prosody_hint(fused, seen) for seen in views]
        return torch.stack(views, -2)

    def _speaker(self, spk_emb: torch.Tensor) -> torch.Tensor:
        """(B, S) -> (B, size) of the direction only."""
        return self.spk_proj(F.normalize(spk_emb, dim=-1))

    def _context(
        self, fused: torch.Tensor, num_words: torch.Tensor, cond: Conditioning
    ) -> torch.Tensor:
        """What every step of a word sees of words and speaker: (B, W, size)."""
        following = F.pad(self.next_word(fused)[:, 1:], (0, 0, 0, 1))
        slot = torch.arange(fused.size(1), device=fused.device)
        is_last = (slot == num_words[:, None] - 1)[..., None]
        following = torch.where(is_last, self.end_of_text, following)
        speaker = self._speaker(cond.spk_emb)[:, None]
        return self.current_word(fused) + following + speaker

    def _log_durations(self, fused: torch.Tensor) -> torch.Tensor:
        """(..., size) fused words -> (...) predicted ln units, pause included."""
        return self.duration_predictor(fused).squeeze(-1)

    def _embed(
        self, tokens: torch.Tensor, steps: torch.Tensor, left: torch.Tensor
    ) -> torch.Tensor:
        """Previous tokens, steps within the word and units left -> (..., size)."""
        steps = steps.clamp(max=self.max_step)
        # Between two rows of the table: no jump where rounding would flip.
        place = (left + self.max_step).clamp(0, 2 * self.max_step - 1e-3)
        low = place.floor().long()
        share = (place - low)[..., None]
        left = self.left_embedding(low).lerp(self.left_embedding(low + 1), share)
        return self.unit_embedding(tokens) + self.step_embedding(steps) + left

    def _logits(self, x: torch.Tensor, cache: KVCache) -> torch.Tensor:
        """One cached step: (B, V, size) -> (B, num_units + 1) float32."""
        hidden = self.transformer(x.flatten(0, 1)[:, None], cache)
        logits = self.head(hidden[:, 0]).float().unflatten(0, x.shape[:2])
        guided = logits[:, 0]
        if x.size(1) > 1:
            guided = guided + self.guidance * (guided - logits[:, 1])
        return guided

    def _allowed(self, logits: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """The first step of a word cannot advance; a word at its limit can only
        advance."""
        is_advance = (
            torch.arange(self.num_units + 1, device=logits.device) == self.num_units
        )
        full = (step >= self.max_units_per_word)[:, None]
        banned = torch.where(is_advance, (step == 0)[:, None], full)
        return logits.masked_fill(banned, -torch.inf)
