"""The TASTE tokenizer with its speech decoder, trained by reconstruction (sec. 2.1)."""

import contextlib
from dataclasses import dataclass

import torch
from espnet2.torch_utils.device_funcs import force_gatherable
from espnet2.train.abs_espnet_model import AbsESPnetModel

from espnet2_taste.nn.segments import (
    average_words,
    count_words,
    length_mask,
    pool_words,
    spread_words,
    word_starts,
)
from espnet2_taste.taste.auxiliary import (
    EncoderCTCLoss,
    WordProsodyLoss,
    attention_guidance_loss,
    first_token_codes,
    unit_accuracy,
)
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    AbsSpeechDecoder,
    Conditioning,
)
from espnet2_taste.taste.tokenizer.abs_aggregator import AbsAggregator
from espnet2_taste.taste.tokenizer.abs_encoder import AbsTasteEncoder, EncoderOutput
from espnet2_taste.taste.tokenizer.abs_quantizer import AbsQuantizer, QuantizerOutput
from espnet2_taste.taste.tokenizer.code_usage import CodeCounter

GRANULARITIES = ("word", "token")


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


class TasteModel(AbsESPnetModel):
    """Frontend, encoder, aggregator, quantiser and speech decoder.

    Args:
        frontend: ESPnet frontend, waveform -> features.
        encoder: features -> keys and values.
        aggregator: keys, values and text -> one vector per token.
        quantizer: token vectors -> codes and embeddings.
        speech_decoder: text, embeddings and speaker -> units.
        vocab_size: text tokens (for the CTC loss).
        text_only: sub-stage 1: the decoder sees no audio, the tokenizer is not run.
        granularity: ``word`` (paper: mean over a word's tokens) or ``token``.
        commit_weight: of the quantiser's commitment loss.
        prosody_weight: of :class:`WordProsodyLoss` (0 = off, as in the paper).
        guidance_weight: of :func:`attention_guidance_loss` (0 = off).
        ctc_weight: of :class:`EncoderCTCLoss` (0 = off).
        extract_feats_in_collect_stats: ESPnet's switch; nothing is extracted, False
            spares building the model.
    """

    def __init__(
        self,
        frontend: torch.nn.Module,
        encoder: AbsTasteEncoder,
        aggregator: AbsAggregator,
        quantizer: AbsQuantizer,
        speech_decoder: AbsSpeechDecoder,
        vocab_size: int,
        text_only: bool = False,
        granularity: str = "word",
        commit_weight: float = 1.0,
        prosody_weight: float = 0.0,
        guidance_weight: float = 0.0,
        ctc_weight: float = 0.0,
        extract_feats_in_collect_stats: bool = False,
    ):
        super().__init__()
        if granularity not in GRANULARITIES:
            raise ValueError(f"granularity {granularity!r} is not in {GRANULARITIES}")
        self.frontend = frontend
        self.encoder = encoder
        self.aggregator = aggregator
        self.quantizer = quantizer
        self.speech_decoder = speech_decoder
        self.text_only = text_only
        self.granularity = granularity
        self.commit_weight = commit_weight
        self.prosody_weight = prosody_weight
        self.guidance_weight = guidance_weight
        self.ctc_weight = ctc_weight
        self.code_counter = None
        if quantizer.num_codebooks and not text_only:
            self.code_counter = CodeCounter(
                quantizer.num_codebooks, quantizer.codebook_size
            )
        self.prosody_loss = (
            WordProsodyLoss(quantizer.codebook_dim) if prosody_weight else None
        )
        self.ctc_loss = (
            EncoderCTCLoss(encoder.key_size, vocab_size) if ctc_weight else None
        )

    def forward(
        self,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        word_ids: torch.Tensor,
        units: torch.Tensor,
        units_lengths: torch.Tensor,
        spk_emb: torch.Tensor,
        speech: torch.Tensor | None = None,
        speech_lengths: torch.Tensor | None = None,
        feats: torch.Tensor | None = None,
        feats_lengths: torch.Tensor | None = None,
        durations: torch.Tensor | None = None,
        prosody: torch.Tensor | None = None,
        prosody_lengths: torch.Tensor | None = None,
        **kwargs,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Training loss.

        Args:
            text: (B, L) int64 token ids; text_lengths: (B,).
            word_ids: (B, L) int64.
            units: (B, U) int64; units_lengths: (B,).
            spk_emb: (B, S) float.
            speech: (B, N) float samples; speech_lengths: (B,). Not for text only.
            feats: (B, T, D) float, the frontend's output made before, in place of
                speech; feats_lengths: (B,).
            durations: (B, W) int64 units per word, where a part needs them.
            prosody: (B, W, 3) float word prosody; prosody_lengths: (B,) words.
            kwargs: utt_id and lengths that are not used.

        Returns:
            loss, stats, batch size. The keys depend on the configuration only (ranks
            with different ones would wait for each other forever); what they mean:
            :data:`~espnet2_taste.tasks.statistics.MEANINGS`.
        """
        stats, losses = {}, []
        if self.text_only:
            taste, audio = None, None
        else:
            if feats is None:
                feats, feats_lengths = self.extract_feats(speech, speech_lengths)
            taste = self.tokenize_feats(
                feats,
                feats_lengths,
                text,
                text_lengths,
                word_ids,
                need_attention=self.guidance_weight > 0,
            )
            audio = taste.quantizer.embeddings
        cond = Conditioning(text, text_lengths, word_ids, audio, spk_emb)
        decoded = self.speech_decoder(cond, units, units_lengths, durations)
        losses.append(decoded.loss)
        stats["ce"] = decoded.loss.detach()
        with torch.no_grad():
            stats["acc"], stats["acc5"] = unit_accuracy(
                decoded.logits, decoded.targets, self.speech_decoder.num_units
            )
        if taste is not None:
            weighted = self.tokenizer_losses(
                taste, text, text_lengths, word_ids, durations, prosody, prosody_lengths
            )
            for name, (weight, value) in weighted.items():
                losses.append(weight * value)
                stats[name] = value.detach()
            if self.code_counter is not None:
                counted = taste.quantizer.codes
                if self.granularity == "word":  # all tokens of a word have the same
                    starts = word_starts(word_ids, text_lengths)
                    counted = counted.masked_fill(~starts[..., None], -1)
                self.code_counter.add(counted)
        loss = torch.stack(losses).sum()
        if not self.training and "commit" in stats:
            stats["commit"] = loss.new_tensor(torch.nan)  # computed in training only
        stats["loss"] = loss.detach().clone()  # the trainer scales the loss in place
        return force_gatherable((loss, stats, len(text)), loss.device)

    def tokenizer_losses(
        self, taste, text, text_lengths, word_ids, durations, prosody, prosody_lengths
    ) -> dict[str, tuple[float, torch.Tensor]]:
        """{name: (weight, loss)} of the tokenizer half; keys depend on weights only."""
        losses = {}
        if self.quantizer.num_codebooks:
            losses["commit"] = self.commit_weight, taste.quantizer.loss
        if self.prosody_loss is not None:
            self._require(prosody, "prosody")
            losses["prosody"] = (
                self.prosody_weight,
                self.prosody_loss(
                    taste.quantizer.latent,
                    word_ids,
                    text_lengths,
                    prosody,
                    prosody_lengths,
                ),
            )
        if self.guidance_weight:
            self._require(durations, "durations")
            losses["guidance"] = (
                self.guidance_weight,
                attention_guidance_loss(
                    taste.attention,
                    word_ids,
                    text_lengths,
                    taste.encoder.lengths,
                    durations,
                ),
            )
        if self.ctc_loss is not None:
            encoded = taste.encoder
            losses["ctc"] = (
                self.ctc_weight,
                self.ctc_loss(encoded.keys, encoded.lengths, text, text_lengths),
            )
        return losses

    @staticmethod
    def _require(value: torch.Tensor | None, name: str) -> None:
        if value is None:
            raise RuntimeError(
                f"this configuration needs {name}, which was not passed to training "
                "(stage 3 makes it)"
            )

    def run_tokenizer(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        word_ids: torch.Tensor,
        need_attention: bool = False,
    ) -> TasteOutput:
        """Speech and transcript -> quantised token vectors (shapes as in forward)."""
        feats, feats_lengths = self.extract_feats(speech, speech_lengths)
        return self.tokenize_feats(
            feats, feats_lengths, text, text_lengths, word_ids, need_attention
        )

    def extract_feats(
        self, speech: torch.Tensor | None, speech_lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, N) samples -> (B, T, D) features and (B,) lengths."""
        self._require(speech, "speech (wav.scp) or feats")
        trained = any(p.requires_grad for p in self.frontend.parameters())
        with contextlib.nullcontext() if trained else torch.no_grad():
            return self.frontend(speech, speech_lengths)

    def tokenize_feats(
        self,
        feats: torch.Tensor,
        feats_lengths: torch.Tensor,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        word_ids: torch.Tensor,
        need_attention: bool = False,
    ) -> TasteOutput:
        """Features and transcript -> quantised token vectors."""
        encoded = self.encoder(feats, feats_lengths)
        aggregated = self.aggregator(text, text_lengths, encoded, need_attention)
        hidden = aggregated.hidden
        if self.granularity == "word":
            hidden = average_words(hidden, word_ids, text_lengths)
        mask = length_mask(text_lengths, text.size(1))
        return TasteOutput(encoded, self.quantizer(hidden, mask), aggregated.attention)

    def word_codes(
        self, taste: TasteOutput, word_ids: torch.Tensor, text_lengths: torch.Tensor
    ) -> torch.Tensor:
        """(B, W, R) codes per word (``granularity: token``: per token), -1 padded."""
        if taste.quantizer.codes is None:
            raise RuntimeError("this model has no quantiser, hence no TASTE codes")
        if self.granularity == "token":
            return taste.quantizer.codes
        return first_token_codes(taste.quantizer.codes, word_ids, text_lengths)

    def word_attention(
        self, taste: TasteOutput, word_ids: torch.Tensor, text_lengths: torch.Tensor
    ) -> list[torch.Tensor]:
        """For each utterance (W, F): the aggregator's attention to its frames, mean
        over the tokens of a word."""
        num_words = count_words(word_ids, text_lengths).tolist()
        maps = pool_words(taste.attention, word_ids, text_lengths, max(num_words))
        frames = taste.encoder.lengths.tolist()
        return [m[:w, :f] for m, w, f in zip(maps, num_words, frames, strict=True)]

    @property
    def has_attention(self) -> bool:
        """Whether there are :meth:`attention_maps`."""
        return not self.text_only

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
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        word_ids: torch.Tensor,
        speech: torch.Tensor | None = None,
        speech_lengths: torch.Tensor | None = None,
        feats: torch.Tensor | None = None,
        feats_lengths: torch.Tensor | None = None,
        **kwargs,
    ) -> list[torch.Tensor]:
        """:meth:`word_attention` of a training batch, as given to :meth:`forward`."""
        if feats is None:
            feats, feats_lengths = self.extract_feats(speech, speech_lengths)
        inputs = (feats, feats_lengths, text, text_lengths, word_ids)
        taste = self.tokenize_feats(*inputs, need_attention=True)
        return self.word_attention(taste, word_ids, text_lengths)

    def codes_to_embeddings(
        self, codes: torch.Tensor, word_ids: torch.Tensor
    ) -> torch.Tensor:
        """(B, W, R) codes as made by :meth:`word_codes` -> (B, L, D) per token."""
        embeddings = self.quantizer.codes_to_embeddings(codes)
        if self.granularity == "word":
            embeddings = spread_words(embeddings, word_ids)
        return embeddings

    def collect_feats(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Nothing to collect: features are computed on the fly."""
        return {}
