"""Training of the tiny x-vector on the speakers of a data directory."""

import logging
import math
from pathlib import Path

import numpy as np
import torch

from espnet2_taste.io.kaldi import read_table
from espnet2_taste.speaker.xvector import SAMPLE_RATE, SpeakerClassifier, XVector
from espnet2_taste.units.reading import WavDir, try_read


def _crop(wav: np.ndarray, size: int, generator: torch.Generator) -> torch.Tensor:
    """(N,) -> (size,): a random stretch; short ones are repeated."""
    start = int(torch.rand(1, generator=generator) * max(len(wav) - size + 1, 1))
    wav = torch.from_numpy(wav[start : start + size])
    return wav.repeat(-(-size // len(wav)))[:size]


def train_xvector(
    data_dir: str | Path,
    model_conf: dict,
    max_steps: int = 250,
    batch_size: int = 32,
    crop_s: float = 1.5,
    lr: float = 2e-3,
    margin: float = 0.2,
    scale: float = 20.0,
    seed: int = 0,
    log_interval: int = 50,
    device: str = "cpu",
) -> XVector:
    """Train on ``wav.scp`` and ``utt2spk``; the same arguments give the same weights.

    Waveforms are read as they are drawn, so the corpus may be of any size.

    Args:
        data_dir: training set in dump/raw.
        model_conf: of XVector.
        max_steps, batch_size, crop_s, lr: Adam on random crops of ``crop_s`` seconds,
            the learning rate falling to zero along a cosine.
        margin, scale: of the additive-margin softmax.
        seed: of the weights and the crops.
        log_interval: steps between progress lines.
        device: to train on.

    Returns:
        The x-vector in eval mode.

    Raises:
        ValueError: fewer than two speakers, or an utterance without speaker.
        RuntimeError: no readable audio.
    """
    items = WavDir(data_dir, None, SAMPLE_RATE).items()
    utt2spk = read_table(Path(data_dir) / "utt2spk")
    missing = [key for key, *_ in items if key not in utt2spk]
    if missing:
        raise ValueError(f"{data_dir}/utt2spk: {missing[0]} of wav.scp is missing")
    names = sorted({utt2spk[key] for key, *_ in items})
    if len(names) < 2:
        raise ValueError(
            f"{data_dir}/utt2spk has {len(names)} speaker(s); a speaker encoder needs "
            "two or more to tell apart"
        )
    speaker_ids = {name: i for i, name in enumerate(names)}
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = XVector(**model_conf).to(device).train()
    classifier = SpeakerClassifier(len(names), model.embed_dim, scale, margin)
    classifier.to(device)
    parameters = [*model.parameters(), *classifier.parameters()]
    optimizer = torch.optim.Adam(parameters, lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / max_steps))
    )
    size = int(crop_s * SAMPLE_RATE)
    logging.info("x-vector: %d utterances, %d speakers", len(items), len(names))
    sums = torch.zeros(2, device=device)
    bad: set[str] = set()
    for step in range(1, max_steps + 1):
        crops, speakers = [], []
        while len(crops) < batch_size:
            if len(bad) == len(items):
                raise RuntimeError(f"{data_dir}: no readable audio to train on")
            index = int(torch.randint(len(items), (1,), generator=generator))
            key, path, num_samples = items[index]
            wav, reason = try_read(path, key, SAMPLE_RATE, num_samples)
            if wav is None:
                if key not in bad:
                    logging.warning("skipped %s: %s", key, reason)
                    bad.add(key)
                continue
            crops.append(_crop(wav, size, generator))
            speakers.append(speaker_ids[utt2spk[key]])
        features = model.features(torch.stack(crops).to(device))
        lengths = torch.full((batch_size,), features.shape[1], device=device)
        embeddings = model(features, lengths)
        loss, accuracy = classifier(embeddings, torch.tensor(speakers, device=device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        sums += torch.stack([loss.detach(), accuracy])
        if step % log_interval == 0 or step == max_steps:
            loss_mean, accuracy_mean = sums / ((step - 1) % log_interval + 1)
            logging.info(
                "step %d of %d: loss %.3f, accuracy %.3f",
                step,
                max_steps,
                loss_mean,
                accuracy_mean,
            )
            sums.zero_()
    return model.eval()


def speaker_means(
    embeddings: dict[str, np.ndarray], utt2spk: dict[str, str]
) -> dict[str, np.ndarray]:
    """The mean embedding of every speaker, of length 1.

    Args:
        embeddings: (S,) float32 by utterance.
        utt2spk: speaker by utterance.

    Raises:
        ValueError: an utterance without speaker.
    """
    groups: dict[str, list[np.ndarray]] = {}
    for key, vector in embeddings.items():
        if key not in utt2spk:
            raise ValueError(f"{key} has an embedding but no speaker in utt2spk")
        groups.setdefault(utt2spk[key], []).append(vector)
    means = {}
    for speaker, vectors in groups.items():
        mean = np.mean(vectors, axis=0)
        means[speaker] = (mean / max(np.linalg.norm(mean), 1e-8)).astype(np.float32)
    return means
