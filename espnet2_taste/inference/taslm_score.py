"""How likely a TASLM finds utterances: words and TASTE codes -> log-likelihoods."""

from dataclasses import dataclass, fields

import numpy as np
import torch

from espnet2_taste.inference.base import TaslmInference
from espnet2_taste.taslm.scoring import score


@dataclass
class UtteranceScore:
    """Likelihood of an utterance in nats; see
    :class:`~espnet2_taste.taslm.scoring.TaslmScores` for the definitions.

    Attributes:
        score: -(text_ce + sum of code_ce); larger is likelier.
        score_sum: log p(text, codes).
        text_ce: mean over tokens of -log p(token).
        code_ce: R means over words of -log p(code), one per codebook.
        taste_ce: their sum.
        text_nll: sum over tokens.
        code_nll: R sums over words.
        taste_nll: their sum.
        latent_ce: mean over words of the negative log-density of the codes' latent;
            None but for the ``latent`` head.
        latent_nll: likewise, the sum.
        loss: training loss without KL, the reference's score; smaller is likelier.
        tokens: text tokens predicted.
        words: words whose codes are predicted.
    """

    score: float
    score_sum: float
    text_ce: float
    code_ce: list[float]
    taste_ce: float
    text_nll: float
    code_nll: list[float]
    taste_nll: float
    latent_ce: float | None
    latent_nll: float | None
    loss: float
    tokens: int
    words: int


class TaslmScore(TaslmInference):
    """A trained TASLM that scores utterances.

    Example:
        >>> taslm = TaslmScore.from_pretrained("exp/taslm")
        >>> spoken, flat = taslm([words, words], [codes, other_codes])
        >>> spoken.score > flat.score
        True
    """

    @torch.inference_mode()
    def __call__(
        self,
        words: list[list[str]],
        codes: list[np.ndarray | torch.Tensor],
        names: list[str] | None = None,
    ) -> list[UtteranceScore]:
        """Score a batch of utterances; each result is that of the utterance alone.

        Args:
            words: words of each utterance.
            codes: (W, R) TASTE codes of its words.
            names: utterance ids for error messages; default the index.

        Raises:
            ValueError: on an utterance that does not fit; the message names it.
        """
        batch = self.word_batch(words, codes, names)
        found = score(
            self.model,
            *(batch[name] for name in ("text", "text_lengths", "word_ids", "taste")),
        )
        columns = {
            field.name: getattr(found, field.name).tolist()
            for field in fields(UtteranceScore)
        }
        for name in ("latent_ce", "latent_nll"):
            columns[name] = [v if v == v else None for v in columns[name]]
        return [UtteranceScore(*row) for row in zip(*columns.values(), strict=True)]
