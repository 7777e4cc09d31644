"""The text-aligned spoken language model (paper sec. 2.2)."""

import torch
from espnet2.torch_utils.device_funcs import force_gatherable
from espnet2.train.abs_espnet_model import AbsESPnetModel

from espnet2_taste.fusion import AbsFusion
from espnet2_taste.taslm.backbone import AbsBackbone
from espnet2_taste.taslm.heads import AbsSpeechHead
from espnet2_taste.taslm.inputs import InputAssembler, TaslmInputs
from espnet2_taste.taste.quantizer.abs_quantizer import AbsQuantizer


class TaslmModel(AbsESPnetModel):
    """A causal LM that reads and predicts text and TASTE codes, ``delay`` words apart.

    Loss: w_0 * text + w_1 * taste, with text = (1 - k) * CE + k * KL(base || model)
    and k = ``text_kl_weight``.

    Args:
        lm: the backbone.
        fusion: joins text and TASTE vectors.
        speech_head: hidden states -> codes.
        quantizer: the TASTE tokenizer's; frozen here, in eval mode always.
        delay: words (tokens) by which the audio follows the text.
        delay_level: ``word`` or ``token``.
        loss_weights: w_0 (text), w_1 (taste).
        text_kl_weight: k; needs LoRA, whose base is the KL's target (paper: 0.9).
        end_symbol: train the LM to end a text by its ``eos_id``. The reference, with
            ``false``, relies on full stops.
        reference_labels: the reference's text labels in padded batches (see
            :class:`~espnet2_taste.taslm.inputs.InputAssembler`).
        extract_feats_in_collect_stats: read by ESPnet before the model exists.
    """

    def __init__(
        self,
        lm: AbsBackbone,
        fusion: AbsFusion,
        speech_head: AbsSpeechHead,
        quantizer: AbsQuantizer,
        delay: int = 1,
        delay_level: str = "word",
        loss_weights: tuple[float, float] | list[float] = (0.5, 0.5),
        text_kl_weight: float = 0.0,
        end_symbol: bool = True,
        reference_labels: bool = False,
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
        if end_symbol and reference_labels:
            raise ValueError("reference_labels goes with end_symbol: false")
        self.lm = lm
        self.inputs = InputAssembler(fusion, delay, delay_level, reference_labels)
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
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        word_ids: torch.Tensor,
        taste: torch.Tensor,
    ) -> TaslmInputs:
        """Inputs and labels of a batch; shapes as in :meth:`forward`."""
        return self.inputs(
            self.lm,
            self.quantizer,
            text,
            text_lengths,
            word_ids,
            taste,
            end_label=self.end_symbol,
        )

    def forward(
        self,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        word_ids: torch.Tensor,
        word_ids_lengths: torch.Tensor,
        taste: torch.Tensor,
        taste_lengths: torch.Tensor,
        **kwargs,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Loss of a batch.

        Args:
            text: (B, N) int64 token ids, padded by any id.
            text_lengths: (B,) int64.
            word_ids: (B, N) int64 word of each token.
            word_ids_lengths: equal to ``text_lengths``.
            taste: (B, W, R) int64 codes of each word.
            taste_lengths: (B,) int64 words.
            kwargs: ignored (``utt_id``).

        Returns:
            loss, statistics and the batch size.
        """
        inputs = self.assemble(text, text_lengths, word_ids, taste)
        output = self.lm(inputs.embeds, inputs.mask)
        text_loss, stats = self.text_loss(output.logits, inputs, text, text_lengths)
        head = self.speech_head(output.hidden, inputs.taste_labels, self.quantizer)
        loss = self.loss_weights[0] * text_loss + self.loss_weights[1] * head.loss
        correct = (head.codes == inputs.taste_labels).sum((0, 1))
        accuracy = correct / (inputs.taste_labels >= 0).sum((0, 1)).clamp(min=1)
        stats |= {"loss": loss.detach(), "taste_loss": head.loss.detach()}
        stats |= {f"taste_acc{q}": value for q, value in enumerate(accuracy)}
        return force_gatherable((loss, stats, len(text)), loss.device)

    def text_loss(
        self,
        logits: torch.Tensor,
        inputs: TaslmInputs,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Text loss of (B, L, V) logits, and its statistics."""
        labels, logits = inputs.text_labels, logits.float()
        valid = labels >= 0
        count = valid.sum().clamp(min=1)
        ce = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=-1, reduction="sum"
        )
        loss = ce / count
        accuracy = ((logits.argmax(-1) == labels) & valid).sum() / count
        stats = {"text_acc": accuracy}
        if self.text_kl_weight > 0:
            kl = self._text_kl(logits, inputs, text, text_lengths)
            loss = self.text_kl_weight * kl + (1 - self.text_kl_weight) * loss
            stats["text_kl"] = kl.detach()
        return loss, stats | {"text_loss": loss.detach()}

    def _text_kl(
        self,
        logits: torch.Tensor,
        inputs: TaslmInputs,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
    ) -> torch.Tensor:
        """KL(base || model) where text is predicted; the base reads the text alone.

        The end symbol is left to the cross-entropy: the base knows no end of text.
        """
        start = torch.full_like(text[:, :1], self.lm.sos_id)
        ids = torch.cat([start, text], 1)
        index = torch.arange(ids.size(1), device=ids.device)
        # With reference_labels the padding is read, too; without, it changes nothing.
        mask = inputs.mask[:, : ids.size(1)]
        ids = ids[:, : mask.size(1)]
        base = self.lm.base_logits(self.lm.embed(ids), mask)
        labels = inputs.text_labels[:, : ids.size(1)]
        valid = labels >= 0
        if self.end_symbol:
            valid = valid & (index[: labels.size(1)] < text_lengths[:, None])
        target = base[:, : labels.size(1)].float().log_softmax(-1)
        model = logits[:, : labels.size(1)].log_softmax(-1)
        kl = (target.exp() * (target - model)).sum(-1)
        return (kl * valid).sum() / valid.sum().clamp(min=1)

    def collect_feats(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Nothing needs statistics."""
        return {}
