"""Training of the `world_vq` units."""

import logging
import math

import numpy as np
import torch

from espnet2_taste.units.analysis import FRAMES_PER_UNIT
from espnet2_taste.units.world_vq import WorldVQ


class CropSampler:
    """Random crops of the training utterances, cut without copying them first.

    Args:
        features: (2 U, D) WORLD features of each utterance.
        spk_emb: (utterances, S), or None.
        crop_units: longest crop.
    """

    def __init__(
        self,
        features: list[np.ndarray],
        spk_emb: torch.Tensor | None,
        crop_units: int,
    ):
        # A last crop may reach past the end: its rows there are padding.
        tail = np.zeros((crop_units * FRAMES_PER_UNIT, features[0].shape[1]), "f")
        stream = torch.from_numpy(np.concatenate([*features, tail]))
        self.stream = stream.reshape(-1, FRAMES_PER_UNIT * stream.shape[1])
        self.lengths = torch.tensor([len(x) // FRAMES_PER_UNIT for x in features])
        self.starts = self.lengths.cumsum(0) - self.lengths
        self.spk_emb = spk_emb
        self.crop_units = crop_units

    def draw(self, batch_size: int, generator: torch.Generator):
        """(B, 2 U, D) features, (B,) units, (B, S) embeddings or None.

        Utterances are drawn in proportion to their length.
        """
        unit = torch.randint(
            int(self.lengths.sum()), (batch_size,), generator=generator
        )
        rows = torch.searchsorted(self.starts, unit, right=True) - 1
        lengths = self.lengths[rows].clamp(max=self.crop_units)
        shift = torch.rand(batch_size, generator=generator)
        shift = (shift * (self.lengths[rows] - lengths + 1)).long()
        index = (self.starts[rows] + shift)[:, None] + torch.arange(self.crop_units)
        crops = self.stream[index].reshape(
            batch_size, self.crop_units * FRAMES_PER_UNIT, -1
        )
        spk_emb = None if self.spk_emb is None else self.spk_emb[rows]
        return crops, lengths, spk_emb


def train_world_vq(
    features: dict[str, np.ndarray],
    spk_emb: dict[str, np.ndarray] | None,
    model_conf: dict,
    max_steps: int = 4000,
    batch_size: int = 16,
    crop_units: int = 32,
    lr: float = 2e-3,
    warmup_steps: int = 100,
    grad_clip: float = 1.0,
    spk_noise: float = 0.05,
    seed: int = 0,
    log_interval: int = 500,
    device: str = "cpu",
    **loss_conf,
) -> WorldVQ:
    """Train a WorldVQ; the same arguments and threads give the same weights.

    Args:
        features: WORLD features by utterance.
        spk_emb: (S,) speaker embedding by utterance, None without conditioning.
        model_conf: of WorldVQ.
        max_steps, batch_size, crop_units, lr, warmup_steps, grad_clip: AdamW on
            random crops, the learning rate warmed up, then a cosine to zero.
        spk_noise: standard deviation of the noise on each embedding dimension, so
            that unseen speakers are not far from what the decoder knows.
        seed: of the weights and the crops.
        log_interval: steps between progress lines.
        device: to train on.
        **loss_conf: weights of ``WorldVQ.forward``.

    Returns:
        The model in eval mode.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    keys = sorted(features)
    embeddings = None
    if spk_emb is not None:
        embeddings = torch.from_numpy(np.stack([spk_emb[key] for key in keys]))
    model = WorldVQ(**model_conf)
    everything = np.concatenate([features[key] for key in keys])
    model.set_statistics(
        torch.from_numpy(everything.mean(0)), torch.from_numpy(everything.std(0))
    )
    del everything
    model.to(device).train()
    sampler = CropSampler([features[key] for key in keys], embeddings, crop_units)
    optimizer = torch.optim.AdamW(model.parameters(), lr, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: (
            min(1.0, (step + 1) / warmup_steps)
            * 0.5
            * (1 + math.cos(math.pi * step / max_steps))
        ),
    )
    sums: dict[str, torch.Tensor] = {}
    for step in range(1, max_steps + 1):
        crops, lengths, speakers = sampler.draw(batch_size, generator)
        if speakers is not None:
            noise = torch.randn(speakers.shape, generator=generator)
            speakers = (speakers + spk_noise * noise).to(device)
        loss, parts = model(crops.to(device), lengths.to(device), speakers, **loss_conf)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
        optimizer.step()
        schedule.step()
        sums = {name: sums.get(name, 0) + value for name, value in parts.items()}
        if step % log_interval == 0 or step == max_steps:
            count = (step - 1) % log_interval + 1
            text = " ".join(f"{k} {float(v) / count:.4f}" for k, v in sums.items())
            logging.info("step %d of %d: %s", step, max_steps, text)
            sums = {}
    return model.eval()
