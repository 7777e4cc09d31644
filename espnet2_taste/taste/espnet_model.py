"""The TASTE tokenizer with its speech decoder, trained by reconstruction (sec. 2.1)."""

import torch
from espnet2.torch_utils.device_funcs import force_gatherable

from espnet2_taste.nn.segments import first_of_segments, spread_segments
from espnet2_taste.taste.auxiliary import WordProsodyLoss, unit_accuracy
from espnet2_taste.taste.ctc_head import CTCHead
from espnet2_taste.taste.predicted_text import PredictedText
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    AbsSpeechDecoder,
    Conditioning,
)
from espnet2_taste.taste.taste_tokenizer import TasteTokenizer
from espnet2_taste.taste.tokenizer.abs_aggregator import AbsAggregator
from espnet2_taste.taste.tokenizer.abs_encoder import AbsTasteEncoder
from espnet2_taste.taste.tokenizer.abs_quantizer import AbsQuantizer
from espnet2_taste.taste.tokenizer.code_usage import CodeCounter
from espnet2_taste.text.view import GRANULARITIES


class TasteModel(TasteTokenizer):
    """Frontend, encoder, aggregator, quantiser and speech decoder.

    Args:
        frontend: ESPnet frontend, waveform -> features.
        encoder: features -> keys and values.
        aggregator: keys, values and text -> one vector per token.
        quantizer: token vectors -> codes and embeddings.
        speech_decoder: text, embeddings and speaker -> units.
        vocab_sizes: name of a vocabulary that is read -> its tokens.
        views: each of :data:`~espnet2_taste.taste.taste_tokenizer.READERS` -> name of
            its vocabulary.
        predict: for ``predicted_text``.
        text_only: sub-stage 1: the decoder sees no audio, the tokenizer is not run.
        granularity: what a row of codes stands for: a ``word`` (paper: mean over its
            tokens) or a ``token`` of the aggregator's vocabulary.
        commit_weight: of the quantiser's commitment loss.
        prosody_weight: of :class:`WordProsodyLoss` (0 = off, as in the paper).
        guidance_weight: of
            :func:`~espnet2_taste.taste.auxiliary.attention_guidance_loss` (0 = off).
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
            prosody: (B, W, 3) float word prosody, where a part needs it;
                prosody_lengths: (B,) words.
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
            self._count_codes(taste, view)
        cond = self.condition(said, audio, spk_emb)
        decoded = self.speech_decoder(cond, units, units_lengths, durations, prosody)
        parts["ce"] = 1.0, decoded.loss
        with torch.no_grad():
            stats["acc"], stats["acc5"] = unit_accuracy(
                decoded.logits, decoded.targets, self.speech_decoder.num_units
            )
        return self._total(parts, stats, len(units))

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
        if self.speech_decoder.requires_prosody or (hears and self.prosody_weight):
            needed.append(("prosody",))
        return needed

    def collect_feats(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Nothing to collect: features are computed on the fly."""
        return {}
