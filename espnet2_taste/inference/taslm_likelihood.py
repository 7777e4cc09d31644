"""How likely a TASLM finds utterances: words and TASTE codes -> log-likelihoods."""

import numpy as np
import torch

from espnet2_taste.inference.base import TaslmInference
from espnet2_taste.taslm.likelihood import likelihood

#: What is said of an utterance: :class:`~espnet2_taste.taslm.likelihood.Likelihoods`.
FIELDS = (
    *("score", "score_sum", "loss", "tokens", "words"),
    *("text_ce", "code_ce", "taste_ce", "latent_ce"),
    *("text_nll", "code_nll", "taste_nll", "latent_nll"),
)


class TaslmLikelihood(TaslmInference):
    """A trained TASLM that says how likely utterances are.

    Example:
        >>> taslm = TaslmLikelihood.from_pretrained("exp/taslm")
        >>> spoken, flat = taslm([words, words], [codes, other_codes])
        >>> spoken["score"] > flat["score"]
        True
    """

    @torch.inference_mode()
    def __call__(
        self,
        words: list[list[str]],
        codes: list[np.ndarray | torch.Tensor],
        names: list[str] | None = None,
    ) -> list[dict]:
        """Likelihoods of a batch of utterances; each is that of the utterance alone.

        Args:
            words: words of each utterance.
            codes: (W, R) TASTE codes of its words.
            names: utterance ids for error messages; default the index.

        Returns:
            for each utterance ``FIELDS`` -> number in nats, or R numbers (``code_ce``,
            ``code_nll``), or None (``latent_*`` of a head without latents).

        Raises:
            ValueError: on an utterance that does not fit; the message names it.
        """
        batch = self.word_batch(words, codes, names)
        found = likelihood(
            self.model,
            *(batch[name] for name in ("text", "text_lengths", "word_ids", "taste")),
        )
        columns = {name: getattr(found, name).tolist() for name in FIELDS}
        for name in ("latent_ce", "latent_nll"):
            columns[name] = [v if v == v else None for v in columns[name]]
        return [
            dict(zip(FIELDS, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ]
