"""The TASTE tokenizer with its speech decoder, trained by reconstruction (sec. 2.1)."""

import contextlib
from dataclasses import dataclass

import torch
from espnet2.torch_utils.device_funcs import force_gatherable
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
from espnet2_taste.taste.auxiliary import (
    WordProsodyLoss,
    attention_guidance_loss,
    unit_accuracy,
)
from espnet2_taste.taste.ctc_head import CTCHead
from espnet2_taste.taste.predicted_text import PredictedText
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    AbsSpeechDecoder,
    Conditioning,
)
from espnet2_taste.taste.tokenizer.abs_aggregator import AbsAggregator
from espnet2_taste.taste.tokenizer.abs_encoder import AbsTasteEncoder, EncoderOutput
from espnet2_taste.taste.tokenizer.abs_quantizer import AbsQuantizer, QuantizerOutput
from espnet2_taste.taste.tokenizer.code_usage import CodeCounter
from espnet2_taste.text.view import GRANULARITIES, TextView

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


class TasteModel(AbsESPnetModel):
    """Frontend, encoder, aggregator, quantiser and speech decoder.

    Args:
        frontend: ESPnet frontend, waveform -> features.
        encoder: features -> keys and values.
        aggregator: keys, values and text -> one vector per token.
        quantizer: token vectors -> codes and embeddings.
        speech_decoder: text, embeddings and speaker -> units.
        vocab_sizes: name of a vocabulary that is read -> its tokens.
        views: each of ``READERS`` -> name of its vocabulary.
        predict: for ``predicted_text``.
        text_only: sub-stage 1: the decoder sees no audio, the tokenizer is not run.
        granularity: what a row of codes stands for: a ``word`` (paper: mean over its
            tokens) or a ``token`` of the aggregator's vocabulary.
        commit_weight: of the quantiser's commitment loss.
        prosody_weight: of :class:`WordProsodyLoss` (0 = off, as in the paper).
        guidance_weight: of :func:`attention_guidance_loss` (0 = off).
        ctc_weight: of the CTC loss of a head on the encoder's keys, which reads off
            them what is said (0: there is no head).
        ctc_conf: further arguments of :class:`~espnet2_taste.taste.ctc_head.CTCHead`.
        ctc_only: train that head alone, and nothing else (TASTE-S, stage I).
        predicted_text: codes and units of the text that the head hears, greedily,
            in place of the given one (TASTE-S, stage II); see
            :class:`~espnet2_taste.taste.predicted_text.PredictedText`.
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
        vocab_sizes: dict[str, int],
        views: dict[str, str],
        predict: PredictedText | None = None,
        text_only: bool = False,
        granularity: str = "word",
        commit_weight: float = 1.0,
        prosody_weight: float = 0.0,
        guidance_weight: float = 0.0,
        ctc_weight: float = 0.0,
        ctc_conf: dict | None = None,
        ctc_only: bool = False,
        predicted_text: bool = False,
        extract_feats_in_collect_stats: bool = False,
    ):
        super().__init__()
        if granularity not in GRANULARITIES:
            raise ValueError(f"granularity {granularity!r} is not in {GRANULARITIES}")
        self.views = views
        hears, speaks = self.views["aggregator"], self.views["speech_decoder"]
        if granularity == "token" and hears != speaks:
            raise ValueError(
                f"granularity token: the speech decoder must read the vocabulary of "
                f"the codes, {hears}, not {speaks} (tokens meet only in words)"
            )
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
        #: :class:`~espnet2_taste.taste.encoder_cache.EncoderCache` of a training
        self.encoder_cache = None
        self.code_counter = None
        if quantizer.num_codebooks and not text_only:
            self.code_counter = CodeCounter(
                quantizer.num_codebooks, quantizer.codebook_size
            )
        self.prosody_loss = (
            WordProsodyLoss(quantizer.codebook_dim) if prosody_weight else None
        )
        self.ctc_only = ctc_only
        self.predict = predict
        self.ctc = None
        if ctc_weight:
            sizes = (vocab_sizes[views[reader]] for reader in ("ctc", "ctc_inner"))
            self.ctc = CTCHead(
                encoder.key_size, *sizes, weight=ctc_weight, **(ctc_conf or {})
            )
        for option, given in (
            ("ctc_only", ctc_only),
            ("predicted_text", predicted_text),
        ):
            if given and (self.ctc is None or text_only):
                raise ValueError(
                    f"model_conf: {option} is of a model with ctc_weight that is not "
                    "text_only"
                )
        if ctc_only:
            self.requires_grad_(False)
            self.ctc.requires_grad_(True)

    def forward(
        self,
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
        **text,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Training loss.

        Args:
            units: (B, U) int64; units_lengths: (B,).
            spk_emb: (B, S) float.
            speech: (B, N) float samples; speech_lengths: (B,). Not for text only.
            feats: (B, T, D) float, the frontend's output made before, in place of
                speech; feats_lengths: (B,).
            durations: (B, W) int64 units per word, where a part needs them.
            prosody: (B, W, 3) float word prosody; prosody_lengths: (B,) words.
            text: ``text``, ``text_lengths``, ``word_ids`` (and those of further
                vocabularies), see :class:`~espnet2_taste.text.view.TextView`; utt_id
                and lengths that are not used.

        Returns:
            loss, stats, batch size. The keys depend on the configuration only (ranks
            with different ones would wait for each other forever); what they mean:
            :data:`~espnet2_taste.tasks.statistics.MEANINGS`.
        """
        stats, parts, said = {}, {}, text
        taste, audio = None, None
        if not self.text_only:
            if feats is None:
                given = speech, speech_lengths
            else:
                given = feats, feats_lengths
            encoded = self._encoded(*given, feats is None, text.get("utt_id"))
            if self.ctc is not None:
                heard = self.ctc(encoded.keys, encoded.lengths)
                views = (self.view(text, reader) for reader in ("ctc", "ctc_inner"))
                parts |= self.ctc.losses(*heard, *views)
                if self.ctc_only:
                    return self._total(parts, stats, len(units))
            if self.predict is not None:
                scores = self.ctc.frame_scores(*heard[:2])
                of_words = (durations, prosody, prosody_lengths)
                said, *of_words, use = self.predict(
                    scores, text, units_lengths, *of_words
                )
                durations, prosody, prosody_lengths = of_words
                stats["heard"] = use.float().mean()
            view = self.view(said, "aggregator")
            taste = self.tokenize_encoded(encoded, view, self.guidance_weight > 0)
            audio = taste.quantizer.embeddings
            parts |= self.tokenizer_losses(
                taste, said, durations, prosody, prosody_lengths
            )
            if self.code_counter is not None:  # a segment's tokens have the same codes
                starts = segment_starts(view.segment_ids, view.lengths)
                codes = taste.quantizer.codes.masked_fill(~starts[..., None], -1)
                self.code_counter.add(codes)
        cond = self.condition(said, audio, spk_emb)
        decoded = self.speech_decoder(cond, units, units_lengths, durations)
        parts["ce"] = 1.0, decoded.loss
        with torch.no_grad():
            stats["acc"], stats["acc5"] = unit_accuracy(
                decoded.logits, decoded.targets, self.speech_decoder.num_units
            )
        return self._total(parts, stats, len(units))

    def _encoded(
        self,
        given: torch.Tensor,
        lengths: torch.Tensor,
        is_speech: bool,
        names: list[str] | None,
    ) -> EncoderOutput:
        """Keys and values of speech or features; from ``encoder_cache``, if any."""

        def encode(rows: list[int] | slice) -> EncoderOutput:
            part = given[rows], lengths[rows]
            return self.encoder(*(self.extract_feats(*part) if is_speech else part))

        if self.encoder_cache is None or names is None:
            return encode(slice(None))
        return self.encoder_cache(self.encoder, names, lengths, encode)

    def _total(
        self,
        parts: dict[str, tuple[float, torch.Tensor]],
        stats: dict[str, torch.Tensor],
        size: int,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """What :meth:`forward` returns; ``parts``: name -> weight and loss."""
        loss = torch.stack([weight * value for weight, value in parts.values()]).sum()
        stats |= {name: value.detach() for name, (_, value) in parts.items()}
        if not self.training and "commit" in stats:
            stats["commit"] = loss.new_tensor(torch.nan)  # computed in training only
        stats["loss"] = loss.detach().clone()  # the trainer scales the loss in place
        return force_gatherable((loss, stats, size), loss.device)

    def train(self, mode: bool = True) -> "TasteModel":
        """Switch the mode; where the CTC head alone is trained, nothing else is."""
        super().train(mode)
        if self.ctc_only:
            self.encoder.eval()
        return self

    def view(self, batch: dict[str, torch.Tensor], reader: str) -> TextView:
        """The text of a batch as one of ``READERS`` reads it."""
        return TextView.of(batch, self.granularity, self.views[reader])

    def condition(
        self,
        batch: dict[str, torch.Tensor],
        audio: torch.Tensor | None,
        spk_emb: torch.Tensor,
    ) -> Conditioning:
        """What the speech decoder reads.

        Args:
            batch: with the vocabularies of the aggregator and of the decoder.
            audio: (B, L, D) TASTE embeddings of the aggregator's tokens, or None.
            spk_emb: (B, S).
        """
        view = self.view(batch, "speech_decoder")
        same = self.views["speech_decoder"] == self.views["aggregator"]
        if audio is not None and not same:
            hears = self.view(batch, "aggregator")
            audio = first_of_segments(audio, hears.segment_ids, hears.lengths)
            audio = spread_segments(audio, view.segment_ids)
        return Conditioning(view, audio, spk_emb)

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

    def required_data(self) -> list[tuple[str, ...]]:
        """Names of the data that training needs besides text, units and speakers; one
        of each tuple."""
        hears = not self.text_only
        needed = [("speech", "feats")] * hears
        if self.ctc_only:
            return needed
        follows = self.predict is not None and self.prosody_weight  # words are matched
        if self.speech_decoder.requires_durations or (
            hears and (self.guidance_weight or follows)
        ):
            needed.append(("durations",))
        return needed + [("prosody",)] * bool(hears and self.prosody_weight)

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
        self, encoded: EncoderOutput, text: TextView, need_attention: bool = False
    ) -> TasteOutput:
        """What the encoder gave and transcript -> quantised token vectors."""
        aggregated = self.aggregator(text.ids, text.lengths, encoded, need_attention)
        hidden = aggregated.hidden
        if self.granularity == "word":
            hidden = average_segments(hidden, text.segment_ids, text.lengths)
        mask = length_mask(text.lengths, text.ids.size(1))
        return TasteOutput(encoded, self.quantizer(hidden, mask), aggregated.attention)

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

    def collect_feats(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Nothing to collect: features are computed on the fly."""
        return {}
