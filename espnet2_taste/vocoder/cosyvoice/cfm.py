"""Conditional flow matching: from noise to mel along an ODE, and its training loss."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from espnet2_taste.nn.padding import masked
from espnet2_taste.nn.stream_memory import StreamMemory
from espnet2_taste.vocoder.cosyvoice.solvers import (
    SOLVERS,
    check_solver,
    evaluation_times,
    solve,
)
from espnet2_taste.vocoder.cosyvoice.unet import UNet


@dataclass
class FlowDraws:
    """Random numbers of one training step.

    Attributes:
        time: (B, 1, 1), uniform in [0, 1).
        noise: (B, mel_size, T), normal.
        keep: (B,), uniform; the condition of an item is dropped where it is small.
    """

    time: torch.Tensor
    noise: torch.Tensor
    keep: torch.Tensor

    @classmethod
    def like(
        cls, mel: torch.Tensor, generator: torch.Generator | None = None
    ) -> "FlowDraws":
        """Draw for a batch of mels (B, mel_size, T)."""
        options = {"device": mel.device, "generator": generator}
        return cls(
            torch.rand(len(mel), 1, 1, **options),
            torch.randn(mel.shape, **options),
            torch.rand(len(mel), **options),
        )


class ConditionalFlowMatching(torch.nn.Module):
    """Straight paths x_t = (1 - (1 - sigma) t) z + t x_1 and their velocity field.

    Args:
        estimator: the velocity field.
        num_steps: steps of the ODE.
        guidance: g of v = (1 + g) v(condition) - g v(nothing); 0 saves half the work.
        drop_rate: part of the training items that lose their condition, so that
            v(nothing) is learnt.
        sigma: deviation left at the end of a path.
        t_scheduler: training times: "cosine", dense near noise as the steps are, or
            "uniform".
        solver: of the ODE: ``euler`` (as published), ``midpoint``, ``heun`` (two
            evaluations of the estimator a step) or ``adams``.

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(
        self,
        estimator: UNet,
        num_steps: int = 10,
        guidance: float = 0.7,
        drop_rate: float = 0.2,
        sigma: float = 1e-6,
        t_scheduler: str = "cosine",
        solver: str = "euler",
    ):
        super().__init__()
        if num_steps < 1:
            raise ValueError(f"num_steps must be at least 1, got {num_steps}")
        if t_scheduler not in ("cosine", "uniform"):
            raise ValueError(
                f"t_scheduler must be cosine or uniform, not {t_scheduler}"
            )
        check_solver(solver)
        self.solver = solver
        self.estimator = estimator
        self.num_steps = num_steps
        self.guidance = guidance
        self.drop_rate = drop_rate
        self.sigma = sigma
        self.t_scheduler = t_scheduler

    @property
    def evaluations(self) -> int:
        """How often the estimator is asked on the way from noise to mel."""
        return self.num_steps * len(SOLVERS[self.solver])

    def schedule(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Times and step sizes, (num_steps,) float32 each, dense near noise."""
        nodes = 1 - torch.cos(torch.linspace(0, 1, self.num_steps + 1) * 0.5 * math.pi)
        times, steps = [nodes[0]], [nodes[1] - nodes[0]]
        for node in nodes[2:]:
            # the running time, so that rounding does not add up
            times.append(times[-1] + steps[-1])
            steps.append(node - times[-1])
        return torch.stack(times), torch.stack(steps)

    def forward(
        self,
        mu: torch.Tensor,
        speaker: torch.Tensor,
        cond: torch.Tensor,
        noise: torch.Tensor,
        mask: torch.Tensor | None = None,
        chunk: int | None = None,
        pasts: Sequence[StreamMemory] | None = None,
    ) -> torch.Tensor:
        """Solve the ODE from ``noise``.

        Args:
            mu: (B, mel_size, T).
            speaker: (B, mel_size).
            cond: (B, mel_size, T).
            noise: (B, mel_size, T).
            mask: (B, 1, T), 1 at valid frames; None: all are.
            chunk: frames of a chunk, for an estimator that is causal by chunks.
            pasts: for a stream of it: a memory for each of :attr:`evaluations`, with
                2 B rows where there is guidance.

        Returns:
            mel (B, mel_size, T); the padding holds nothing of use.
        """
        times, steps = self.schedule()
        times = evaluation_times(self.solver, times, steps)
        table = self.estimator.time_table(times.to(mu.device))
        guided = self.guidance != 0
        if guided:
            mu, speaker, cond = (
                torch.cat([part, torch.zeros_like(part)])
                for part in (mu, speaker, cond)
            )
            mask = None if mask is None else torch.cat([mask, mask])

        def velocity(x: torch.Tensor, index: int) -> torch.Tensor:
            found = self.estimator(
                torch.cat([x, x]) if guided else x,
                mu,
                table[index : index + 1],
                speaker,
                cond,
                mask,
                **_view(chunk, pasts and pasts[index]),
            )
            if guided:
                conditional, free = found.chunk(2)
                found = (1 + self.guidance) * conditional - self.guidance * free
            return found

        return solve(self.solver, velocity, noise, steps.tolist())

    def loss(
        self,
        mel: torch.Tensor,
        mask: torch.Tensor | None,
        mu: torch.Tensor,
        speaker: torch.Tensor,
        cond: torch.Tensor,
        draws: FlowDraws,
        chunk: int | None = None,
    ) -> torch.Tensor:
        """Mean squared error of the velocity over valid frames and bins.

        Args:
            mel: (B, mel_size, T) targets x_1.
            mask, mu, speaker, cond, chunk: as in :meth:`forward`.
            draws: random numbers, see :class:`FlowDraws`.
        """
        time = draws.time
        if self.t_scheduler == "cosine":
            time = 1 - torch.cos(time * 0.5 * math.pi)
        rest = 1 - self.sigma
        state = (1 - rest * time) * draws.noise + time * mel
        keep = (draws.keep > self.drop_rate).to(mel.dtype)[:, None, None]
        velocity = self.estimator(
            state,
            mu * keep,
            self.estimator.time_table(time[:, 0, 0]),
            speaker * keep[..., 0],
            cond * keep,
            mask,
            **_view(chunk),
        )
        error = velocity - masked(mel - rest * draws.noise, mask)
        count = mel[:, :1].numel() if mask is None else mask.sum()
        return error.square().sum() / (count * mel.size(1))


def _view(chunk: int | None, past: StreamMemory | None = None) -> dict:
    """Arguments that only an estimator causal by chunks takes."""
    return {} if chunk is None and past is None else {"chunk": chunk, "past": past}
