"""How likely a TASLM finds an utterance: text and TASTE codes, stream by stream."""

from dataclasses import dataclass

import torch

from espnet2_taste.taslm.espnet_model import TaslmModel
from espnet2_taste.taslm.token_likelihood import token_likelihoods
from espnet2_taste.text.view import TextView


@dataclass
class Likelihoods:
    """Likelihoods of B utterances in nats; "nll" are sums, "ce" means.

    Attributes:
        tokens: (B,) int64 text tokens predicted (the end symbol, if trained, too).
        segments: (B,) int64 segments (words, or tokens) whose codes are predicted.
        text_nll: (B,) -log p(text).
        code_nll: (B, R) -log p of each codebook's codes, given those of the books
            before it. The latent head's Gaussian is restricted to a book's entries.
        latent_nll: (B,) -log density of the segments' latents; NaN but for the latent
            head. A density: it may be negative.
        loss: (B,) training loss of the utterance without KL, the reference's score:
            smaller is likelier.
    """

    tokens: torch.Tensor
    segments: torch.Tensor
    text_nll: torch.Tensor
    code_nll: torch.Tensor
    latent_nll: torch.Tensor
    loss: torch.Tensor

    @property
    def text_ce(self) -> torch.Tensor:
        """(B,) mean over tokens."""
        return self.text_nll / self.tokens

    @property
    def code_ce(self) -> torch.Tensor:
        """(B, R) mean over segments."""
        return self.code_nll / self.segments[:, None]

    @property
    def taste_nll(self) -> torch.Tensor:
        """(B,) -log p of all codes."""
        return self.code_nll.sum(1)

    @property
    def taste_ce(self) -> torch.Tensor:
        """(B,) -log p of a segment's codes, mean over segments."""
        return self.code_ce.sum(1)

    @property
    def latent_ce(self) -> torch.Tensor:
        """(B,) mean over segments."""
        return self.latent_nll / self.segments

    @property
    def score(self) -> torch.Tensor:
        """(B,) -(mean text CE + sum over codebooks of mean code CE): larger is
        likelier, whatever the length."""
        return -(self.text_ce + self.taste_ce)

    @property
    def score_sum(self) -> torch.Tensor:
        """(B,) log p(text, codes)."""
        return -(self.text_nll + self.taste_nll)


@torch.inference_mode()
def likelihood(
    model: TaslmModel,
    text: TextView,
    taste: torch.Tensor,
) -> Likelihoods:
    """Likelihoods of utterances, each as if it were alone.

    Args:
        model: in eval mode.
        text: in the LM's vocabulary.
        taste: (B, S, R) int64 codes of each segment.
    """
    inputs = model.assemble(text, taste)
    hidden = model.lm(inputs.embeds).hidden
    tokens = token_likelihoods(model.lm, hidden, inputs.text_labels)
    head = model.predict_taste(hidden, inputs)
    item, position = inputs.taste_positions
    states, quantizer = hidden[item, position], model.quantizer
    code_nll = -model.speech_head.log_probs(states, head.labels, quantizer)
    density = model.speech_head.latent_log_density(states, head.labels, quantizer)

    def total(values: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        sums = values.new_zeros(len(taste), *values.shape[1:])
        return sums.index_add(0, items, values)

    num_tokens = total(torch.ones_like(tokens.item), tokens.item)
    num_segments = total(torch.ones_like(item), item)
    text_nll = total(tokens.ce, tokens.item)
    taste_loss = total(head.losses, item) / num_segments
    text_weight, taste_weight = model.loss_weights
    return Likelihoods(
        tokens=num_tokens,
        segments=num_segments,
        text_nll=text_nll,
        code_nll=total(code_nll, item),
        latent_nll=total(-density, item),
        loss=text_weight * text_nll / num_tokens + taste_weight * taste_loss,
    )
