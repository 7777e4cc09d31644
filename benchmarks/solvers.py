"""How near a few steps of the flow come to many, by solver.

A small flow learns mels that its units determine, but for noise and a slow change of
level; then each solver speaks, and what it says is compared with 100 steps of Euler's
rule from the same noise. What counts as work is an evaluation of the network.
"""

import time
from collections.abc import Iterator

import torch

from benchmarks.measure import Timer
from benchmarks.setup import Setup
from benchmarks.table import Row
from espnet2_taste.vocoder.cosyvoice.cfm import FlowDraws
from espnet2_taste.vocoder.cosyvoice.flow import Flow
from espnet2_taste.vocoder.cosyvoice.solvers import SOLVERS

SIZES = {"num_units": 64, "spk_embed_dim": 16, "embed_size": 64, "encoder_size": 64}
SIZES |= {"encoder_heads": 2, "encoder_ffn_size": 128, "encoder_blocks": 2}
SIZES |= {"unet_size": 64, "unet_heads": 2, "unet_head_size": 32, "unet_blocks": 1}
SIZES |= {"unet_mid_stages": 2, "dropout": 0.0}
UNITS, BATCH, RATE = 20, 8, 2e-3
EVALUATIONS = (4, 6, 10, 20)


def run(setup: Setup, timer: Timer) -> Iterator[Row]:
    """A row for each solver and number of evaluations: root mean square in nepers."""
    torch.manual_seed(0)
    with setup.device:
        flow = Flow(**SIZES)
        loss, steps = fit(flow, setup.work.fit_seconds)
        yield Row("the flow's loss", loss, unit="", note=f"{steps} training steps")
        with torch.inference_mode():
            flow.eval()
            data = batch_of(flow)
            noise = torch.randn_like(data["mel"])

            def speak(solver: str, evaluations: int) -> torch.Tensor:
                decoder = flow.decoder
                decoder.solver = solver
                decoder.num_steps = evaluations // len(SOLVERS[solver])
                return flow(data["units"], data["spk_emb"], noise)

            finest = speak("euler", 100)
            for solver in SOLVERS:
                for evaluations in EVALUATIONS:
                    error = speak(solver, evaluations) - finest
                    yield Row(
                        f"{solver}, {evaluations} evaluations",
                        float(error.square().mean().sqrt()),
                        unit="Np",
                        against="100 Euler steps",
                    )


def fit(flow: Flow, seconds: float) -> tuple[float, int]:
    """Train for so long; loss of the last steps, and their number."""
    optimizer = torch.optim.AdamW(flow.parameters(), lr=RATE)
    losses, begin = [], time.process_time()
    while not losses or time.process_time() - begin < seconds:
        data = batch_of(flow)
        draws = FlowDraws.like(data["mel"])
        loss = flow.loss(**data, cond=torch.zeros_like(data["mel"]), draws=draws)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.detach())
    return float(torch.stack(losses[-20:]).mean()), len(losses)


def batch_of(flow: Flow) -> dict[str, torch.Tensor]:
    """Units and their mels: a spectrum each (the same in every batch), louder and
    softer in the course of a second, with noise as of a voice."""
    units = torch.randint(flow.num_units, (BATCH, UNITS))
    size = int(flow.count_frames(UNITS))
    bins = torch.arange(flow.mel_size) / flow.mel_size
    place = torch.arange(size) * UNITS // size
    unit = units[:, place]
    peak = (unit % 8 / 8)[..., None]
    mel = -4 + 3 * (-((bins - peak) * 6).square()).exp() + (unit // 8)[..., None] / 4
    phase = torch.rand(BATCH, 1) * 6
    level = (torch.arange(size) * 6 / size + phase).sin()[..., None]
    mel = (mel + level + 0.2 * torch.randn_like(mel)).transpose(1, 2)
    return {
        "units": units,
        "lengths": torch.full((BATCH,), UNITS),
        "mel": mel,
        "frames": torch.full((BATCH,), size),
        "spk_emb": torch.ones(BATCH, flow.spk_embed_dim),
    }
