"""The text-aligned spoken language model (paper sec. 2.2)."""

import torch
from espnet2.torch_utils.device_funcs import force_gatherable
from espnet2.train.abs_espnet_model import AbsESPnetModel

from espnet2_taste.nn.abs_backbone import AbsBackbone
from espnet2_taste.nn.fusion import AbsFusion
from espnet2_taste.taslm.heads import AbsSpeechHead, SpeechHeadOutput
from espnet2_taste.taslm.inputs import InputAssembler, TaslmInputs
from espnet2_taste.taslm.token_likelihood import TokenLikelihoods, token_likelihoods
from espnet2_taste.taste.tokenizer.abs_quantizer import AbsQuantizer
from espnet2_taste.text.view import TextView


class TaslmModel(AbsESPnetModel):
    """A causal LM that reads and predicts text and TASTE codes, ``delay`` words apart.

    Loss: w_0 * text + w_1 * taste, with text = (1 - k) * CE + k * KL(base || model)
    and k = ``text_kl_weight``.

    Args:
        lm: the backbone.
        fusion: joins text and TASTE vectors.
        speech_head: hidden states -> codes.
        quantizer: the TASTE tokenizer's; frozen here, in eval mode always.
        granularity: of the codes: one row per ``word``, or per ``token`` of the text.
        delay: segments (tokens) by which the audio follows the text.
        delay_level: ``word`` or ``token``.
        loss_weights: w_0 (text), w_1 (taste).
        text_kl_weight: k; needs LoRA, whose base is the KL's target (paper: 0.9).
        end_symbol: train the LM to end a text by its ``eos_id``. The reference, with
            ``false``, relies on full stops.
        start_symbol: begin every text with the LM's ``sos_id``; TASTE2, with ``false``,
            begins with the first token, which is not predicted.
        pad_projected: see :class:`~espnet2_taste.taslm.inputs.InputAssembler`.
        extract_feats_in_collect_stats: read by ESPnet before the model exists.
    """

    def __init__(
        self,
        lm: AbsBackbone,
        fusion: AbsFusion,
        speech_head: AbsSpeechHead,
        quantizer: AbsQuantizer,
        granularity: str,
        delay: int = 1,
        delay_level: str = "word",
        loss_weights: tuple[float, float] | list[float] = (0.5, 0.5),
        text_kl_weight: float = 0.0,
        end_symbol: bool = True,
        start_symbol: bool = True,
        pad_projected: bool = False,
        extract_feats_in_collect_stats: bool = False,
    ):
        super().__init__()
        if quantizer.num_codebooks == 0:
            raise ValueError("a TASLM predicts codes: the TASTE model has no quantizer")
        if not 0 <= text_kl_weight <= 1:
            raise ValueError(f"text_kl_weight {text_kl_weight} is not within [0, 1]")
        if text_kl_weight > 0 and not lm.has_base:
            raise ValueError(
                "text_kl_weight needs lm_conf lora (its base is the target)"
            )
        if len(loss_weights) != 2 or abs(sum(loss_weights) - 1) > 1e-6:
            raise ValueError(f"loss_weights {loss_weights} must be two that sum to 1")
        if not (start_symbol or end_symbol):
            raise ValueError(
                "start_symbol: false needs end_symbol: true: a text of one token would "
                "have nothing to predict"
            )
        self.lm = lm
        self.granularity = granularity
        self.inputs = InputAssembler(
            fusion, delay, delay_level, start_symbol, pad_projected
        )
        self.speech_head = speech_head
        self.quantizer = quantizer.requires_grad_(False).eval()
        self.loss_weights = tuple(loss_weights)
        self.text_kl_weight = text_kl_weight
        self.end_symbol = end_symbol
        self.extract_feats_in_collect_stats = extract_feats_in_collect_stats

    def train(self, mode: bool = True):
        super().train(mode)
        self.quantizer.eval()
        return self

    def assemble(
        self,
        text: TextView,
        taste: torch.Tensor,
        learned: torch.Tensor | None = None,
    ) -> TaslmInputs:
        """Inputs and labels of a batch of texts and their (B, S, R) codes.

        With ``learned`` (see :class:`~espnet2_taste.taslm.inputs.InputAssembler`) no
        end symbol is a label: a dialogue's turns have an end of their own.
        """
        ended = self.end_symbol and learned is None
        return self.inputs(self.lm, self.quantizer, text, taste, ended, learned)

    def view(self, batch: dict[str, torch.Tensor]) -> TextView:
        """The text of a batch as the LM reads it."""
        return TextView.of(batch, self.granularity)

    def forward(
        self, taste: torch.Tensor, taste_lengths: torch.Tensor, **batch
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Loss of a batch.

        Args:
            taste: (B, S, R) int64 codes of each segment; taste_lengths: (B,).
            batch: ``text``, ``text_lengths``, ``word_ids``, see
                :class:`~espnet2_taste.text.view.TextView`; of dialogues also
                ``learned``; the rest is ignored.

        Returns:
            loss, statistics (what they mean:
            :data:`~espnet2_taste.tasks.statistics.MEANINGS`; the keys depend on the
            configuration only) and the batch size.
        """
        text = self.view(batch)
        inputs = self.assemble(text, taste, batch.get("learned"))
        hidden = self.lm(inputs.embeds).hidden  # causal: right padding is never read
        text_loss, stats = self.text_loss(hidden, inputs, text)
        head = self.predict_taste(hidden, inputs)
        loss = self.loss_weights[0] * text_loss + self.loss_weights[1] * head.loss
        # A copy, as the trainer scales the loss in place.
        stats |= {"loss": loss.detach().clone(), "taste_loss": head.loss.detach()}
        stats |= self.code_statistics(hidden, inputs, head)
        return force_gatherable((loss, stats, len(taste)), loss.device)

    def predict_taste(
        self, hidden: torch.Tensor, inputs: TaslmInputs
    ) -> SpeechHeadOutput:
        """The head's loss over the (M,) positions that predict codes."""
        places = inputs.taste_positions
        return self.speech_head(
            hidden[places], inputs.taste_labels[places], self.quantizer
        )

    @torch.no_grad()
    def code_statistics(
        self, hidden: torch.Tensor, inputs: TaslmInputs, head: SpeechHeadOutput
    ) -> dict[str, torch.Tensor]:
        """Cross-entropy and accuracy of the codes that the head predicts."""
        states = hidden[inputs.taste_positions]
        ce = -self.speech_head.log_probs(states, head.labels, self.quantizer).mean()
        accuracy = (head.codes == head.labels).float().mean(0)
        each = {f"taste_acc{q}": value for q, value in enumerate(accuracy)}
        return {"taste_ce": ce, "taste_acc": accuracy.mean(), **each}

    def text_loss(
        self,
        hidden: torch.Tensor,
        inputs: TaslmInputs,
        text: TextView,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Text loss of (B, L, size) hidden states, and its statistics."""
        base = None
        if self.text_kl_weight > 0:
            base = self._base_hidden(inputs, text.ids)
        scores = token_likelihoods(self.lm, hidden, inputs.text_labels, base)
        loss = scores.ce.mean()
        stats = {"text_ce": loss.detach(), "text_acc": scores.correct.float().mean()}
        if base is not None:
            kl = self._text_kl(scores, inputs.ended)
            loss = self.text_kl_weight * kl + (1 - self.text_kl_weight) * loss
            stats["text_kl"] = kl.detach()
        return loss, stats | {"text_loss": loss.detach()}

    def _base_hidden(self, inputs: TaslmInputs, text: torch.Tensor) -> torch.Tensor:
        """(B, <= N + 1, size) states of the base, which reads the text alone."""
        ids = text
        if self.inputs.start_symbol:
            ids = torch.nn.functional.pad(text, (1, 0), value=self.lm.sos_id)
        return self.lm.base_hidden(self.lm.embed(ids[:, : inputs.mask.size(1)]))

    def _text_kl(self, scores: TokenLikelihoods, ended: bool) -> torch.Tensor:
        """Mean KL(base || model) where text is predicted.

        The end symbol is left to the cross-entropy: the base knows no end of text.
        """
        if not ended:
            return scores.kl.mean()
        last = torch.nn.functional.pad(scores.item, (0, 1), value=-1).diff() != 0
        return (scores.kl * ~last).sum() / (~last).sum().clamp(min=1)

    def collect_feats(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Nothing needs statistics."""
        return {}
