"""What a word's steps are told of its prosody (after FastSpeech 2's variance adaptor).

A unit LM takes an utterance's pitch from the units before, which training always shows
it, and hardly listens to what the codes say of it. Values that are true in training
are heard from the first steps on.
"""

import torch

from espnet2_taste.nn.segments import length_mask

#: log-F0, log duration, pause; see `asr.word_targets.word_prosody`
_NUM_VALUES = 3


class ProsodyHint(torch.nn.Module):
    """Adds a word's pitch, duration and pause to what is known of it.

    Values are standardised by running statistics. In training they are true ones with
    noise, else predicted ones.

    Args:
        size: width of the words' vectors.
        noise: std of the noise, in standard deviations of the values.
    """

    def __init__(self, size: int, noise: float):
        super().__init__()
        self.noise = noise
        self.standardise = torch.nn.BatchNorm1d(_NUM_VALUES, affine=False)
        self.predictor = torch.nn.Sequential(
            torch.nn.Linear(size, size),
            torch.nn.ReLU(),
            torch.nn.Linear(size, _NUM_VALUES),
        )
        self.proj = torch.nn.Linear(_NUM_VALUES, size)

    def forward(
        self, words: torch.Tensor, seen: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(..., size) words -> (..., size), with values predicted from them, or from
        what is ``seen`` of them, of the same shape."""
        return words + self.proj(self.predictor(words if seen is None else seen))

    def taught(
        self,
        words: torch.Tensor,
        num_words: torch.Tensor,
        prosody: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Words with their values, and the predictor's mean squared error.

        Args:
            words: (B, W, size).
            num_words: (B,) int64.
            prosody: (B, W, 3) float, anything in the padding; None, which training
                refuses: the error is not known, 0.

        Raises:
            ValueError: training without prosody.
        """
        if prosody is None:
            if self.training:
                raise ValueError(
                    "prosody_weight: training needs the words' prosody: add "
                    "prosody.scp to the data"
                )
            return self(words), words.new_zeros(())
        spots = length_mask(num_words, words.size(1)).nonzero(as_tuple=True)
        values = predicted = self.predictor(words)
        true = self.standardise(prosody[spots].float())
        error = (predicted[spots] - true).square().mean()
        if self.training:
            values = torch.zeros_like(predicted)
            noisy = true + self.noise * torch.randn_like(true)
            values[spots] = noisy.to(values.dtype)
        return words + self.proj(values), error
