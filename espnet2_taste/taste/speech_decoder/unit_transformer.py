"""The paper's speech decoder (sec. 2.1.3): CosyVoice-1's LM with TASTE in its prompt.

    [sos] [speaker] [fused_0 ... fused_(T-1)] [task] [s_0 ... s_(U-1)]

Weight compatible with the published ``speech_decoder.*``.
"""

from collections.abc import Callable, Iterator

import torch
from torch.nn import functional as F

from espnet2_taste.nn.fusion import AbsFusion
from espnet2_taste.nn.packed_linears import packed_linears
from espnet2_taste.nn.rel_pos_encoder import RelPosEncoder
from espnet2_taste.nn.segments import take
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    AbsSpeechDecoder,
    Conditioning,
    GeneratedUnits,
    Sampling,
    SpeechDecoderOutput,
)
from espnet2_taste.taste.speech_decoder.sampling import UnitSampler
from espnet2_taste.taste.speech_decoder.unit_transformer_running import (
    RunningTransformer,
)

#: steps between two looks at whether the whole batch has finished (a host sync)
_CHECK_EVERY = 8


class UnitTransformerDecoder(AbsSpeechDecoder):
    """Autoregressive unit LM with text, TASTE and speaker as prefix.

    Args:
        vocab_size: text vocabulary.
        audio_size: width of the quantised TASTE embeddings.
        num_units: unit vocabulary; the end of speech has the id ``num_units``.
        spk_embed_dim: width of speaker embeddings.
        fusion: makes the fusion from (size, audio_size).
        embed_size: width of text embeddings and reduced TASTE embeddings.
        encoder_size: width of the text and audio encoders.
        text_blocks, text_heads, text_ffn_size: of the text encoder.
        audio_blocks, audio_heads, audio_ffn_size: of the audio encoder.
        llm_size: width of the unit transformer.
        llm_blocks, llm_heads, llm_ffn_size: of the unit transformer.
        dropout: everywhere but in attention weights.
        min_ratio: no end of speech before int(min_ratio * P) units, where P is the
            length of the prompt (as in the reference), text length + 3.
        max_ratio: generation stops after int(max_ratio * P) units.
    """

    def __init__(
        self,
        vocab_size: int,
        audio_size: int,
        num_units: int,
        spk_embed_dim: int,
        fusion: Callable[[int, int], AbsFusion],
        embed_size: int = 512,
        encoder_size: int = 1024,
        text_blocks: int = 3,
        text_heads: int = 8,
        text_ffn_size: int = 2048,
        audio_blocks: int = 2,
        audio_heads: int = 8,
        audio_ffn_size: int = 2048,
        llm_size: int = 1024,
        llm_blocks: int = 7,
        llm_heads: int = 8,
        llm_ffn_size: int = 2048,
        dropout: float = 0.1,
        min_ratio: float = 2.0,
        max_ratio: float = 20.0,
    ):
        super().__init__()
        if not 0 <= min_ratio <= max_ratio:
            raise ValueError(
                f"min_ratio {min_ratio} and max_ratio {max_ratio} must be ordered"
            )
        self.num_units = num_units
        self.min_ratio = min_ratio
        self.max_ratio = max_ratio
        self.text_embedding = torch.nn.Embedding(vocab_size, embed_size)
        self.text_encoder = RelPosEncoder(
            embed_size,
            encoder_size,
            text_heads,
            text_ffn_size,
            text_blocks,
            dropout,
            "conformer",
        )
        self.text_encoder_affine_layer = torch.nn.Linear(encoder_size, llm_size)
        self.audio_embed_affine_layer = torch.nn.Linear(audio_size, embed_size)
        self.audio_token_encoder = RelPosEncoder(
            embed_size,
            encoder_size,
            audio_heads,
            audio_ffn_size,
            audio_blocks,
            dropout,
            "conformer",
        )
        self.audio_token_encoder_affine_layer = torch.nn.Linear(encoder_size, llm_size)
        self.fusion = fusion(llm_size, llm_size)
        self.spk_embed_affine_layer = torch.nn.Linear(spk_embed_dim, llm_size)
        self.llm_embedding = torch.nn.Embedding(2, llm_size)  # sos, task
        self.speech_embedding = torch.nn.Embedding(num_units, llm_size)
        self.llm = RelPosEncoder(
            llm_size,
            llm_size,
            llm_heads,
            llm_ffn_size,
            llm_blocks,
            dropout,
            "transformer",
        )
        self.llm_decoder = torch.nn.Linear(llm_size, num_units + 1)

    def forward(
        self,
        cond: Conditioning,
        units: torch.Tensor,
        units_lengths: torch.Tensor,
        durations: torch.Tensor | None = None,
        prosody: torch.Tensor | None = None,
    ) -> SpeechDecoderOutput:
        """Teacher-forced loss over units and the end of speech; durations are not used,
        alignment is learnt.

        Returns:
            logits (B, U + 1, num_units + 1) of the positions that predict: task (the
            first unit) to the last unit (the end, id num_units).
        """
        slot = torch.arange(units.size(1) + 1, device=units.device)
        past_end = slot >= units_lengths[:, None]
        safe = units.masked_fill(past_end[:, :-1], 0)
        prompt = self._prompt(cond)
        sequence = torch.cat([prompt, self.speech_embedding(safe)], dim=1)
        # squeeze out the padding between fused text and task
        prefix = (cond.text.lengths + 2)[:, None]
        gap = prompt.size(1) - 1 - prefix
        position = torch.arange(sequence.size(1), device=units.device)
        order = torch.where(position < prefix, position, position + gap)
        hidden = self.llm(take(sequence, order.clamp(max=sequence.size(1) - 1)))
        logits = self.llm_decoder(take(hidden, prefix + slot))
        targets = F.pad(safe, (0, 1)).masked_fill(past_end, self.num_units)
        targets = targets.masked_fill(slot > units_lengths[:, None], -1)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
        return SpeechDecoderOutput(loss, logits, targets)

    @torch.no_grad()
    def generate(
        self,
        cond: Conditioning,
        sampling: Sampling,
        item_seeds: list[int] | None = None,
    ) -> GeneratedUnits:
        """Sample units for a whole batch: prompts once, then one cached step a unit.

        The end of speech is masked before min_ratio * P units; the reference draws
        again until it gets something else.
        """
        with packed_linears(self.stepped(), rows=len(cond.spk_emb)):
            blocks = list(self.generate_blocks(cond, sampling, item_seeds))
        lengths = torch.stack([block.lengths for block in blocks]).sum(0)
        units = torch.cat([block.units for block in blocks], 1)
        return GeneratedUnits(units[:, : int(lengths.max())], lengths)

    @torch.no_grad()
    def generate_blocks(
        self,
        cond: Conditioning,
        sampling: Sampling,
        item_seeds: list[int] | None = None,
    ) -> Iterator[GeneratedUnits]:
        """See AbsSpeechDecoder; at least one block, of up to 8 units."""
        prompt = self._prompt(cond)
        # move each prompt to the right end: every item's next unit has one position
        lengths = cond.text.lengths + 3
        padding = lengths.max() - lengths
        size = int(lengths.max())
        index = torch.arange(size, device=prompt.device) - padding[:, None]
        gap = prompt.size(1) - lengths[:, None]
        order = torch.where(index < lengths[:, None] - 1, index, index + gap)
        x = take(prompt, order.clamp(min=0))
        shortest, longest = self._limits(lengths)
        steps = int(longest.max())

        sampler = UnitSampler(sampling, len(x), x.device, item_seeds)
        cache = self.llm.new_cache(size + steps, padding, x)
        is_end = torch.arange(self.num_units + 1, device=x.device) == self.num_units
        alive = longest > 0
        yield GeneratedUnits(lengths.new_zeros(len(x), 0), torch.zeros_like(lengths))
        for start in range(0, steps, _CHECK_EVERY):
            if not bool(alive.any()):
                return
            units, emitted = [], []
            for time in range(start, min(start + _CHECK_EVERY, steps)):
                logits = self.llm_decoder(self.llm(x, cache)[:, -1]).float()
                logits = logits.masked_fill(
                    is_end & (time < shortest)[:, None], -torch.inf
                )
                unit = sampler(logits, time)
                alive = alive & (unit != self.num_units) & (time < longest)
                unit = torch.where(alive, unit, 0)
                units.append(unit)
                emitted.append(alive)
                x = self.speech_embedding(unit)[:, None]
            made = torch.stack(emitted, 1).sum(1)
            yield GeneratedUnits(torch.stack(units, 1), made)

    def running(
        self, sampling: Sampling, slots: int, capacity: int | None = None
    ) -> RunningTransformer:
        """See AbsSpeechDecoder."""
        return RunningTransformer(self, sampling, slots, capacity)

    def stepped(self) -> torch.nn.Module:
        """See AbsSpeechDecoder."""
        return torch.nn.ModuleList([self.llm, self.llm_decoder])

    def _limits(self, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B,) positions of prompts -> (B,) units before which none may end, and at
        most."""
        return (self.min_ratio * lengths).long(), (self.max_ratio * lengths).long()

    def _prompt(self, cond: Conditioning) -> torch.Tensor:
        """[sos, speaker, fused text (padded), task]: (B, T + 3, llm_size)."""
        text = self.text_encoder(self.text_embedding(cond.text.ids))
        fused = self.text_encoder_affine_layer(text)
        if cond.audio is not None:
            audio = self.audio_embed_affine_layer(cond.audio)
            audio = self.audio_token_encoder(audio)
            fused = self.fusion(fused, self.audio_token_encoder_affine_layer(audio))
        speaker = self.spk_embed_affine_layer(F.normalize(cond.spk_emb, dim=-1))
        sos, task = self.llm_embedding.weight[:, None, None].expand(
            -1, len(text), 1, -1
        )
        return torch.cat([sos, speaker[:, None], fused, task], dim=1)
