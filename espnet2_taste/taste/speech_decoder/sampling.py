"""Drawing units with one random stream per item, so that a batch equals single runs."""

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

    Attributes:
        count: (B,) int64 units drawn or noted, of items that do not go in step.

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
        if (1 if sampling.temperature is None else sampling.temperature) <= 0:
            raise ValueError(
                f"temperature must be positive, got {sampling.temperature}; "
                "use top_k=1 for greedy decoding"
            )
        if not 0 < (1 if sampling.top_p is None else sampling.top_p) <= 1:
            raise ValueError(f"top_p must be in (0, 1], got {sampling.top_p}")
        if (sampling.ras_window or 0) < 0 or not 0 < sampling.ras_tau <= 1:
            raise ValueError(
                f"ras_window {sampling.ras_window} must be 0 or more, "
                f"ras_tau {sampling.ras_tau} in (0, 1]"
            )
        item_seeds = [0] * batch_size if item_seeds is None else item_seeds
        if len(item_seeds) != batch_size:
            raise ValueError(f"{len(item_seeds)} item_seeds for {batch_size} items")
        self.sampling = sampling
        self.device = torch.device(device)
        self.generators = [self._generator(seed) for seed in item_seeds]
        window = sampling.ras_window or 0
        if sampling.top_k == 1:
            window = 0
        self.recent = torch.full((batch_size, window), -1, device=self.device)
        self.count = torch.zeros(batch_size, dtype=torch.long, device=self.device)
        self.block = torch.empty(batch_size, 0, 1 + bool(window), device=self.device)

    def _generator(self, item_seed: int) -> torch.Generator:
        base = self.sampling.seed
        if base is None:
            base = int(torch.randint(2**62, (), device="cpu"))
        return item_generator(base, item_seed)

    def enter(self, rows: list[int], item_seeds: list[int]) -> None:
        """New items in place of those in ``rows``, each at the start of its stream."""
        if not rows:
            return
        for row, seed in zip(rows, item_seeds, strict=True):
            self.generators[row] = self._generator(seed)
        index = torch.tensor(rows, device=self.device)
        self.count[index] = 0
        self.recent[index] = -1
        if width := self.block.size(1):
            blocks = width // _BLOCK
            drawn = [self._draw(self.generators[row], blocks) for row in rows]
            self.block[index] = torch.stack(drawn).to(self.device)

    def keep(self, rows: list[int]) -> None:
        """From now on item i is what ``rows[i]`` was."""
        self.generators = [self.generators[row] for row in rows]
        index = torch.tensor(rows, device=self.device)
        for name in ("count", "recent", "block"):
            setattr(self, name, getattr(self, name)[index])

    def _draw(self, generator: torch.Generator, blocks: int) -> torch.Tensor:
        """(blocks * _BLOCK, 1 or 2) uniforms, the next of an item's stream."""
        shape = (_BLOCK, self.block.size(2))
        drawn = [
            torch.rand(shape, generator=generator, device="cpu") for _ in range(blocks)
        ]
        return torch.cat(drawn)

    def _uniforms(self, step: int, active: torch.Tensor | None) -> torch.Tensor:
        """(B, 1 or 2) uniforms of ``step``, or of each item's own."""
        while step >= self.block.size(1):
            drawn = [self._draw(generator, 1) for generator in self.generators]
            more = torch.stack(drawn).to(self.device, non_blocking=True)
            self.block = torch.cat([self.block, more], dim=1)
        if active is None:
            return self.block[:, step]
        index = self.count[:, None, None].expand(-1, -1, self.block.size(2))
        return self.block.gather(1, index).squeeze(1)

    def __call__(
        self, logits: torch.Tensor, step: int, active: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(B, V) logits -> (B,) int64 units, see :func:`draw`.

        Args:
            logits: -inf where a unit is not allowed.
            step: index into the items' random streams, not decreasing.
            active: (B,) bool, the items that draw now; each is at a step of its own,
                ``step`` at most. What others get is theirs to ignore.
        """
        sampling = self.sampling
        if sampling.top_k == 1:
            units = logits.argmax(-1)
        else:
            uniforms = self._uniforms(step, active)
            units = draw(logits, uniforms[:, 0], sampling)
            if self.recent.size(1):
                units = self._again(logits, units, uniforms[:, 1])
        self.note(units, active)
        return units

    def _again(
        self, logits: torch.Tensor, units: torch.Tensor, uniform: torch.Tensor
    ) -> torch.Tensor:
        """What is drawn instead of units that were too frequent of late."""
        times = (self.recent == units[:, None]).sum(1)
        often = times >= self.sampling.ras_tau * self.recent.size(1)
        others = logits.scatter(1, units[:, None], -torch.inf)
        often = often & (others > -torch.inf).any(1)  # else there is nothing else
        others = torch.where(often[:, None], others, logits)
        everything = Sampling(logits.size(1), self.sampling.temperature)
        return torch.where(often, draw(others, uniform, everything), units)

    def note(self, units: torch.Tensor, active: torch.Tensor | None = None) -> None:
        """Remember (B,) units of the active items as if they had been drawn."""
        if active is None:
            active = torch.ones_like(self.count, dtype=torch.bool)
        self.count = self.count + active
        if self.recent.size(1):
            later = torch.cat([self.recent[:, 1:], units[:, None]], dim=1)
            self.recent = torch.where(active[:, None], later, self.recent)

    def uniforms(self, counts: list[int], steps: int) -> torch.Tensor:
        """(B, most counts, steps) uniforms: of each item, ``counts`` a step."""
        drawn = [
            torch.rand(steps, count, generator=generator, device="cpu").T
            for generator, count in zip(self.generators, counts, strict=True)
        ]
        padded = torch.nn.utils.rnn.pad_sequence(drawn, batch_first=True)
        return padded.to(self.device, non_blocking=True)


def candidates(
    logits: torch.Tensor, sampling: Sampling
) -> tuple[torch.Tensor, torch.Tensor]:
    """The units that may be drawn, most probable first.

    Args:
        logits: (..., V), -inf where a unit is not allowed.
        sampling: ``top_k``, ``temperature`` and ``top_p`` count.

    Returns:
        (..., K) float32 scores, -inf of those that may not, and their (..., K) units.
    """
    scores = logits.float() / (sampling.temperature or 1.0)
    top, units = scores.topk(min(sampling.top_k, scores.size(-1)), dim=-1)
    if sampling.top_p is not None and sampling.top_p < 1:
        share = (top - scores.logsumexp(-1, keepdim=True)).exp()
        before = share.cumsum(-1) - share
        before[..., 0] = 0.0  # one is always left
        top = top.masked_fill(before >= sampling.top_p, -torch.inf)
    return top, units


def draw(
    logits: torch.Tensor, uniform: torch.Tensor | None, sampling: Sampling
) -> torch.Tensor:
    """Draw from the renormalised :func:`candidates` by inverse CDF.

    Args:
        logits: (..., V), -inf where a unit is not allowed.
        uniform: (...) or (..., 1) in [0, 1); not used where top_k is 1.
        sampling: how to draw.

    Returns:
        (...) int64 units.
    """
    if sampling.top_k == 1:
        return logits.argmax(-1)
    top, units = candidates(logits, sampling)
    cdf = top.softmax(-1).cumsum(-1)
    uniform = uniform.reshape(*cdf.shape[:-1], 1)
    # u * cdf[-1] < cdf[-1] for u < 1, but rounding may reach it: the clamp keeps
    # the draw inside, on a candidate of non-zero probability.
    rank = (cdf <= uniform * cdf[..., -1:]).sum(-1, keepdim=True)
    last = (top > -torch.inf).sum(-1, keepdim=True).clamp(min=1) - 1
    return units.gather(-1, torch.minimum(rank, last)).squeeze(-1)
