"""Optional training signals of the tokenizer; the paper uses none of them.

They make small models and small corpora learn within minutes (weights in
``model_conf``, default 0).
"""

import torch

from espnet2_taste.nn.segments import length_mask, pool_segments


def attention_guidance_loss(
    attention: torch.Tensor,
    word_ids: torch.Tensor,
    text_lengths: torch.Tensor,
    frame_lengths: torch.Tensor,
    durations: torch.Tensor,
) -> torch.Tensor:
    """Cross-entropy of the aggregator's attention to the frames of the token's word.

    Args:
        attention: (B, L, F) rows summing to 1.
        word_ids: (B, L) int64.
        text_lengths: (B,) int64 tokens.
        frame_lengths: (B,) int64 encoder frames.
        durations: (B, W) int64 units per word; only proportions are used.

    Returns:
        scalar, mean over tokens of -ln(attention mass inside the word).
    """
    ends = durations.cumsum(1).to(attention.dtype)
    scale = frame_lengths.to(ends.dtype) / ends[:, -1].clamp(min=1)
    ends = ends * scale[:, None]
    starts = torch.nn.functional.pad(ends[:, :-1], (1, 0))
    index = word_ids.clamp(0, durations.size(1) - 1)
    frame = torch.arange(attention.size(2), device=attention.device) + 0.5
    first = starts.gather(1, index)[..., None] - 0.5
    last = ends.gather(1, index)[..., None] + 0.5
    inside = (frame > first) & (frame < last)
    mass = (attention * inside).sum(2).clamp(min=1e-6)
    return -mass.log()[length_mask(text_lengths, attention.size(1))].mean()


class WordProsodyLoss(torch.nn.Module):
    """Mean squared error from word latents to [log-F0, log duration, pause].

    Targets are standardised by running statistics, so weights do not depend on units.

    Args:
        latent_size: width of the latents.
        num_targets: columns of ``prosody``.
    """

    def __init__(self, latent_size: int, num_targets: int = 3):
        super().__init__()
        self.head = torch.nn.Linear(latent_size, num_targets)
        self.standardise = torch.nn.BatchNorm1d(num_targets, affine=False)

    def forward(
        self,
        latent: torch.Tensor,
        word_ids: torch.Tensor,
        text_lengths: torch.Tensor,
        prosody: torch.Tensor,
        num_words: torch.Tensor,
    ) -> torch.Tensor:
        """(B, L, D) token latents and (B, W, P) word targets -> scalar."""
        words = pool_segments(latent, word_ids, text_lengths, prosody.size(1))
        spots = length_mask(num_words, prosody.size(1)).nonzero(as_tuple=True)
        target = self.standardise(prosody[spots].float())
        return torch.nn.functional.mse_loss(self.head(words[spots]), target)


def unit_accuracy(
    logits: torch.Tensor, targets: torch.Tensor, num_units: int, top: int = 5
) -> tuple[torch.Tensor, torch.Tensor]:
    """Teacher-forced accuracy over speech units (not ends or word borders).

    Args:
        logits: (B, N, V).
        targets: (B, N) int64; -1 and ids from ``num_units`` on do not count.
        num_units: size of the unit vocabulary.
        top: size of the candidate list.

    Returns:
        top-1 and top-``top`` accuracy, scalars in 0..1.
    """
    mask = (targets >= 0) & (targets < num_units)
    best = logits.topk(top, dim=-1).indices
    hit = (best == targets[..., None]) & mask[..., None]
    count = mask.sum().clamp(min=1)
    return hit[..., 0].sum() / count, hit.sum() / count
