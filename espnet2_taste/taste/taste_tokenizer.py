"""Speech and its transcript to codes: the tokenizer half of TASTE (sec. 2.1)."""

import contextlib
from dataclasses import dataclass

import torch
from espnet2.train.abs_espnet_model import AbsESPnetModel

from espnet2_taste.nn.segments import (
    average_segments,
    count_segments,
    first_of_segments,
    length_mask,
    pool_segments,
    segment_starts,
    spread_segments,
)
from espnet2_taste.taste.auxiliary import attention_guidance_loss
from espnet2_taste.taste.tokenizer.abs_encoder import EncoderOutput
from espnet2_taste.taste.tokenizer.abs_quantizer import QuantizerOutput
from espnet2_taste.text.view import TextView

#: What of a model reads text, each in a vocabulary of its choice.
READERS = ("aggregator", "ctc", "ctc_inner", "speech_decoder")


@dataclass
class TasteOutput:
    """What the tokenizer half makes of an utterance.

    Attributes:
        encoder: keys, values and frame lengths.
        quantizer: embeddings, latent and codes, one per token.
        attention: (B, L, F) aggregator attention, or None.
    """

    encoder: EncoderOutput
    quantizer: QuantizerOutput
    attention: torch.Tensor | None


class TasteTokenizer(AbsESPnetModel):
    """What a model does with speech and text until there are codes.

    Its modules are those of :class:`~espnet2_taste.taste.espnet_model.TasteModel`,
    which makes them in the order in which checkpoints have them.
    """

    def view(self, batch: dict[str, torch.Tensor], reader: str) -> TextView:
        """The text of a batch as one of ``READERS`` reads it."""
        return TextView.of(batch, self.granularity, self.views[reader])

    def _encoded(
        self,
        given: torch.Tensor,
        lengths: torch.Tensor,
        is_speech: bool,
        names: list[str] | None,
    ) -> EncoderOutput:
        """Keys and values of speech or features; from ``encoder_cache``, if any."""

        def feats(rows: list[int] | slice) -> tuple[torch.Tensor, torch.Tensor]:
            part = given[rows], lengths[rows]
            return self.extract_feats(*part) if is_speech else part

        everything = slice(None)
        if self.encoder_cache is None or names is None:
            return self.encoder(*feats(everything))
        frozen = self.encoder_cache(
            self.encoder,
            names,
            lengths,
            lambda rows: self.encoder.forward_frozen(*feats(rows)),
        )
        if not self.encoder.trained_parts:
            return frozen
        return self.encoder.add_trained(frozen, *feats(everything))

    def run_tokenizer(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        text: TextView,
        need_attention: bool = False,
    ) -> TasteOutput:
        """Speech and transcript -> quantised token vectors.

        Args:
            speech: (B, N) float samples; speech_lengths: (B,).
            text: as the aggregator reads it.
            need_attention: also give the aggregator's attention.
        """
        feats, feats_lengths = self.extract_feats(speech, speech_lengths)
        return self.tokenize_feats(feats, feats_lengths, text, need_attention)

    def extract_feats(
        self, speech: torch.Tensor | None, speech_lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, N) samples -> (B, T, D) features and (B,) lengths."""
        trained = any(p.requires_grad for p in self.frontend.parameters())
        with contextlib.nullcontext() if trained else torch.no_grad():
            return self.frontend(speech, speech_lengths)

    def tokenize_feats(
        self,
        feats: torch.Tensor,
        feats_lengths: torch.Tensor,
        text: TextView,
        need_attention: bool = False,
    ) -> TasteOutput:
        """(B, T, D) features and transcript -> quantised token vectors."""
        encoded = self.encoder(feats, feats_lengths)
        return self.tokenize_encoded(encoded, text, need_attention)

    def tokenize_encoded(
        self,
        encoded: EncoderOutput,
        text: TextView,
        need_attention: bool = False,
        seen: torch.Tensor | None = None,
    ) -> TasteOutput:
        """What the encoder gave and transcript -> quantised token vectors; ``seen``:
        see :meth:`~espnet2_taste.taste.tokenizer.abs_aggregator.AbsAggregator.forward`.
        """
        limits = {} if seen is None else {"seen": seen}
        aggregated = self.aggregator(
            text.ids, text.lengths, encoded, need_attention, **limits
        )
        quantized = self.quantize(aggregated.hidden, text)
        return TasteOutput(encoded, quantized, aggregated.attention)

    def quantize(self, hidden: torch.Tensor, text: TextView) -> QuantizerOutput:
        """(B, L, D) vectors of the aggregator's tokens -> codes of their segments."""
        if self.granularity == "word":
            hidden = average_segments(hidden, text.segment_ids, text.lengths)
        return self.quantizer(hidden, length_mask(text.lengths, text.ids.size(1)))

    def segment_codes(self, taste: TasteOutput, text: TextView) -> torch.Tensor:
        """(B, S, R) codes of each segment, -1 padded; text as the aggregator reads it.

        Raises:
            RuntimeError: there is no quantiser.
        """
        if taste.quantizer.codes is None:
            raise RuntimeError("this model has no quantiser, hence no TASTE codes")
        return first_of_segments(taste.quantizer.codes, text.segment_ids, text.lengths)

    def word_attention(self, taste: TasteOutput, text: TextView) -> list[torch.Tensor]:
        """For each utterance (W, F): the aggregator's attention to its frames, mean
        over the tokens of a word."""
        num_words = count_segments(text.word_ids, text.lengths).tolist()
        maps = pool_segments(
            taste.attention, text.word_ids, text.lengths, max(num_words)
        )
        frames = taste.encoder.lengths.tolist()
        return [m[:w, :f] for m, w, f in zip(maps, num_words, frames, strict=True)]

    @property
    def has_attention(self) -> bool:
        """Whether there are :meth:`attention_maps`."""
        return not self.text_only

    def _count_codes(self, taste: TasteOutput, text: TextView) -> None:
        """For :meth:`epoch_statistics`: those of each segment once."""
        if self.code_counter is not None:  # a segment's tokens have the same codes
            starts = segment_starts(text.segment_ids, text.lengths)
            codes = taste.quantizer.codes.masked_fill(~starts[..., None], -1)
            self.code_counter.add(codes)

    def epoch_statistics(self) -> dict[str, float]:
        """Statistics of what :meth:`forward` saw since the last call, on all ranks."""
        if self.code_counter is None:
            return {}
        usage = self.code_counter.take(next(self.parameters()).device)
        return {
            "codebook_perplexity": usage.perplexity.nanmean().item(),
            "dead_codes": usage.dead.sum().item(),
        }

    def attention_maps(
        self,
        speech: torch.Tensor | None = None,
        speech_lengths: torch.Tensor | None = None,
        feats: torch.Tensor | None = None,
        feats_lengths: torch.Tensor | None = None,
        **text,
    ) -> list[torch.Tensor]:
        """:meth:`word_attention` of a training batch, as given to :meth:`forward`."""
        if feats is None:
            feats, feats_lengths = self.extract_feats(speech, speech_lengths)
        view = self.view(text, "aggregator")
        taste = self.tokenize_feats(feats, feats_lengths, view, need_attention=True)
        return self.word_attention(taste, view)

    def codes_to_embeddings(self, codes: torch.Tensor, text: TextView) -> torch.Tensor:
        """(B, S, R) codes of segments -> (B, L, D) embeddings of the view's tokens."""
        latents = self.quantizer.codes_to_latent(codes)
        return self.latents_to_embeddings(latents, text)

    def latents_to_embeddings(
        self, latents: torch.Tensor, text: TextView
    ) -> torch.Tensor:
        """(B, S, codebook_dim) latents of segments, of codes or of a continuous speech
        head -> (B, L, D) embeddings of the view's tokens."""
        embeddings = self.quantizer.project_out(latents)
        return spread_segments(embeddings, text.segment_ids)

    def tokenizer_losses(
        self, taste: TasteOutput, batch: dict, durations, prosody, prosody_lengths
    ) -> dict[str, tuple[float, torch.Tensor]]:
        """{name: (weight, loss)} of the tokenizer half; keys depend on weights only."""
        losses, text = {}, self.view(batch, "aggregator")
        if self.quantizer.num_codebooks:
            losses["commit"] = self.commit_weight, taste.quantizer.loss
        if self.prosody_loss is not None:
            losses["prosody"] = (
                self.prosody_weight,
                self.prosody_loss(
                    taste.quantizer.latent,
                    text.word_ids,
                    text.lengths,
                    prosody,
                    prosody_lengths,
                ),
            )
        if self.guidance_weight:
            losses["guidance"] = (
                self.guidance_weight,
                attention_guidance_loss(
                    taste.attention,
                    text.word_ids,
                    text.lengths,
                    taste.encoder.lengths,
                    durations,
                ),
            )
        return losses
