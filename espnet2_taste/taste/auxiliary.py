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
        mask = length_mask(num_words, prosody.size(1))
        target = self.standardise(prosody[mask].float())
        return torch.nn.functional.mse_loss(self.head(words[mask]), target)


class EncoderCTCLoss(torch.nn.Module):
    """CTC on the encoder's keys, for an encoder that is trained along.

    Args:
        key_size: width of the keys.
        vocab_size: text tokens; the blank is one more.
    """

    def __init__(self, key_size: int, vocab_size: int):
        super().__init__()
        self.head = torch.nn.Linear(key_size, vocab_size + 1)

    def forward(
        self,
        keys: torch.Tensor,
        key_lengths: torch.Tensor,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
    ) -> torch.Tensor:
        """(B, F, key_size) keys and (B, L) tokens -> scalar, mean per token."""
        logits = self.head(keys).float()
        return torch.nn.functional.ctc_loss(
            logits.log_softmax(-1).transpose(0, 1),
            text,
            key_lengths,
            text_lengths,
            blank=logits.size(-1) - 1,
            zero_infinity=True,
        )

    @torch.inference_mode()
    def transcribe(
        self, keys: torch.Tensor, key_lengths: torch.Tensor
    ) -> list[tuple[list[int], list[float]]]:
        """The best path of each item: its tokens, and how sure each of them is.

        Memory does not grow with the batch: one item's frames have logits at a time.

        Args:
            keys: (B, F, key_size); key_lengths: (B,) frames.

        Returns:
            for each item the token ids, and the mean probability of each token over
            the frames it was found in; both empty where nothing is said.
        """
        blank, found = self.head.out_features - 1, []
        for frames, length in zip(keys, key_lengths.tolist(), strict=True):
            probs, path = self.head(frames[:length]).float().softmax(-1).max(-1)
            path, runs = path.unique_consecutive(return_counts=True)
            sure = torch.stack([run.mean() for run in probs.split(runs.tolist())])
            said = path != blank
            found.append((path[said].tolist(), sure[said].tolist()))
        return found


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
