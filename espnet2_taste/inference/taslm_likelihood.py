"""How likely a TASLM finds utterances: text and TASTE codes -> log-likelihoods."""

import numpy as np
import torch

from espnet2_taste.inference.base import TaslmInference
from espnet2_taste.taslm.likelihood import likelihood

#: What is said of an utterance: :class:`~espnet2_taste.taslm.likelihood.Likelihoods`.
FIELDS = (
    *("score", "score_sum", "loss", "tokens", "segments"),
    *("text_ce", "code_ce", "taste_ce", "latent_ce"),
    *("text_nll", "code_nll", "taste_nll", "latent_nll"),
)


class TaslmLikelihood(TaslmInference):
    """A trained TASLM that says how likely utterances are.

    Example:
        >>> taslm = TaslmLikelihood.from_pretrained("exp/taslm")
        >>> spoken, flat = taslm([text, text], [codes, other_codes])
        >>> spoken["score"] > flat["score"]
        True
    """

    @torch.inference_mode()
    def __call__(
        self,
        text: list[str],
        codes: list[np.ndarray | torch.Tensor],
        names: list[str] | None = None,
    ) -> list[dict]:
        """Likelihoods of a batch of utterances; each is that of the utterance alone.

        Args:
            text: transcripts.
            codes: (S, R) TASTE codes of each, a row per segment (word or token).
            names: utterance ids for error messages; default the index.

        Returns:
            for each utterance ``FIELDS`` -> number in nats, or R numbers (``code_ce``,
            ``code_nll``), or None (``latent_*`` of a head without latents).

        Raises:
            ValueError: on an utterance that does not fit; the message names it.
        """
        if not text:
            return []
        if not text:
            return []
        batch = self.text_batch(text, codes, names)
        found = likelihood(self.model, self.model.view(batch), batch["taste"])
        columns = {name: getattr(found, name).tolist() for name in FIELDS}
        for name in ("latent_ce", "latent_nll"):
            columns[name] = [v if v == v else None for v in columns[name]]
        return [
            dict(zip(FIELDS, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ]
