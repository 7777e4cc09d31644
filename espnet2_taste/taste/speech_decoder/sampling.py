"""Top-k drawing with one random stream per item, so that a batch equals single runs."""

import torch

from espnet2_taste.nn.random_streams import item_generator
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling

#: uniforms are drawn in blocks of this many steps: an item's stream then depends on
#: nothing but its seed, whoever asks and for however long.
_BLOCK = 256


class UnitSampler:
    """Draws the units of a batch, step by step, without loops or host syncs in a step.

    Args:
        sampling: how to draw.
        batch_size: B.
        device: of the logits.
        item_seeds: B integers, mixed with ``sampling.seed``; default 0 for every item.

    Raises:
        ValueError: for settings that make no sense.
    """

    def __init__(
        self,
        sampling: Sampling,
        batch_size: int,
        device: torch.device | str,
        item_seeds: list[int] | None = None,
    ):
        if sampling.top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {sampling.top_k}")
        if sampling.temperature <= 0:
            raise ValueError(
                f"temperature must be positive, got {sampling.temperature}; "
                "use top_k=1 for greedy decoding"
            )
        item_seeds = [0] * batch_size if item_seeds is None else item_seeds
        if len(item_seeds) != batch_size:
            raise ValueError(f"{len(item_seeds)} item_seeds for {batch_size} items")
        self.sampling = sampling
        self.device = torch.device(device)
        if sampling.seed is None:
            bases = torch.randint(2**62, (batch_size,), device="cpu").tolist()
        else:
            bases = [sampling.seed] * batch_size
        self.generators = [
            item_generator(base, item)
            for base, item in zip(bases, item_seeds, strict=True)
        ]
        self.block = torch.empty(batch_size, 0)
        self.first = 0
        self.ahead = [(0, torch.empty(0))] * batch_size  # of window: first step, drawn

    def _uniforms(self, step: int) -> torch.Tensor:
        """(B, 1) uniforms of ``step``; steps are asked for in order."""
        while step >= self.first + self.block.size(1):
            self.first += self.block.size(1)
            block = [
                torch.rand(_BLOCK, generator=g, device="cpu") for g in self.generators
            ]
            self.block = torch.stack(block).to(self.device, non_blocking=True)
        return self.block[:, step - self.first, None]

    def __call__(self, logits: torch.Tensor, step: int) -> torch.Tensor:
        """(B, V) logits -> (B,) int64 units, see :func:`draw`.

        ``step`` is the index into the items' random streams, not decreasing.
        """
        uniform = self._uniforms(step) if self.sampling.top_k > 1 else None
        return draw(logits, uniform, self.sampling)

    def window(self, starts: list[int], steps: int) -> torch.Tensor:
        """(B, steps) uniforms of ``steps`` steps of each item from its own next one.

        For items that go on at different times; ``starts`` do not decrease. The
        numbers are those of a call a step.
        """
        for row, start in enumerate(starts):
            first, drawn = self.ahead[row]
            blocks = [drawn]
            while first + sum(map(len, blocks)) < start + steps:
                generator = self.generators[row]
                blocks.append(torch.rand(_BLOCK, generator=generator, device="cpu"))
            self.ahead[row] = start, torch.cat(blocks)[start - first :]
        window = torch.stack([drawn[:steps] for _, drawn in self.ahead])
        return window.to(self.device, non_blocking=True)

    def uniforms(self, counts: list[int], steps: int) -> torch.Tensor:
        """(B, most counts, steps) uniforms: of each item, ``counts`` a step."""
        drawn = [
            torch.rand(steps, count, generator=generator, device="cpu").T
            for generator, count in zip(self.generators, counts, strict=True)
        ]
        padded = torch.nn.utils.rnn.pad_sequence(drawn, batch_first=True)
        return padded.to(self.device, non_blocking=True)


def draw(
    logits: torch.Tensor, uniform: torch.Tensor | None, sampling: Sampling
) -> torch.Tensor:
    """Draw from the renormalised top-k by inverse CDF.

    Args:
        logits: (..., V), -inf where a unit is not allowed.
        uniform: (...) or (..., 1) in [0, 1); not used where top_k is 1.
        sampling: how to draw.

    Returns:
        (...) int64 units.
    """
    if sampling.top_k == 1:
        return logits.argmax(-1)
    scores = logits.float() / sampling.temperature
    top, units = scores.topk(min(sampling.top_k, scores.size(-1)), dim=-1)
    cdf = top.softmax(-1).cumsum(-1)
    uniform = uniform.reshape(*cdf.shape[:-1], 1)
    # u * cdf[-1] < cdf[-1] for u < 1, but rounding may reach it: the clamp keeps
    # the draw inside, on a candidate of non-zero probability.
    rank = (cdf <= uniform * cdf[..., -1:]).sum(-1, keepdim=True)
    allowed = (top > -torch.inf).sum(-1, keepdim=True)
    return units.gather(-1, torch.minimum(rank, allowed - 1)).squeeze(-1)
