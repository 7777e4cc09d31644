"""Make the golden fixtures of the vocoder: python tests/golden/make_vocoder.py

Our own results for tiny random weights, in the format of the reference's
g_voice_generator files; every size differs from theirs.
"""

import argparse
import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from parity.computed.vocoder import (  # noqa: E402
    EXTRA,
    MAIN,
    MODEL,
    RESULTS,
    VocoderCase,
)
from parity.folder import ParityFolder  # noqa: E402
from tiny_vocoder import published_state  # noqa: E402

from espnet2_taste.vocoder.cosyvoice.generator import VoiceGenerator  # noqa: E402
from espnet2_taste.vocoder.cosyvoice.mel_spec import MelSpec  # noqa: E402

SEED = 5
MEL, SPEAKER, UNITS, HARMONICS = 12, 7, 19, 9
CONFIG = {
    "vocab_size": UNITS,
    "input_size": 6,
    "spk_embed_dim": SPEAKER,
    "n_mels": MEL,
    "encoder": {
        "output_size": 12,
        "attention_heads": 3,
        "linear_units": 10,
        "num_blocks": 1,
    },
    "estimator": {
        "channels": [8, 8],
        "attention_head_dim": 5,
        "n_blocks": 2,
        "num_mid_blocks": 1,
        "num_heads": 3,
    },
    "cfm": {"sigma_min": 1e-6, "training_cfg_rate": 0.2, "inference_cfg_rate": 0.6},
    "hift": {"base_channels": 12, "cond_channels": 5},
    "n_timesteps": 6,
}
LENGTH, PROMPT, TARGET, KNOWN = 7, 3, 6, 4  # units, and mel frames of the prompt
PADDED = [9, 6, 1]  # frames of C
TRAINING = [(6, 11), (3, 5)]  # units and frames of D
VOICED_HZ, MIXED_HZ, LOUD = 140.0, -9.0, 3.0


class Random:
    """Uniform numbers with float16 values."""

    def __init__(self, seed: int):
        self.state = np.random.RandomState(seed)

    def __call__(self, *shape: int, rms: float = 1.0) -> torch.Tensor:
        values = rms * math.sqrt(3) * (2 * self.state.random_sample(shape) - 1)
        return torch.from_numpy(values.astype(np.float16)).float()

    def uniform(self, *shape: int) -> torch.Tensor:
        """In [0, 1)."""
        return torch.from_numpy(self.state.random_sample(shape)).float()

    def ids(self, *shape: int) -> torch.Tensor:
        return torch.from_numpy(self.state.randint(0, UNITS, shape)).int()

    def weight(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """Norms and Snakes around 1, biases small, the rest by its fan-in."""
        if name.endswith("weight_g"):
            return 0.6 + self(*shape, rms=0.2)
        if re.search(r"alpha$|weight$", name) and len(shape) == 1:
            return 1 + self(*shape, rms=0.2)
        if len(shape) == 1:
            return self(*shape, rms=0.2)
        return self(*shape, rms=1 / math.sqrt(math.prod(shape[1:])))


def weights(random: Random) -> dict[str, torch.Tensor]:
    """Under the published names."""
    model = VoiceGenerator(*VocoderCase.arguments(CONFIG))
    state = published_state(model.state_dict())
    state = {k: random.weight(k, v.shape) for k, v in sorted(state.items())}
    state["hift.f0_predictor.classifier.weight"] *= 64
    state["hift.f0_predictor.classifier.bias"][:] = VOICED_HZ
    return state


def inputs(random: Random) -> dict[str, dict[str, torch.Tensor]]:
    """Everything that is not computed, by file."""

    def phase() -> torch.Tensor:
        return (2 * random.uniform(1, HARMONICS, 1) - 1) * torch.pi

    frames, whole = (
        MelSpec().count_frames(LENGTH),
        MelSpec().count_frames(PROMPT + TARGET),
    )
    main = {
        "speech_token_ids": random.ids(1, LENGTH),
        "speech_token_lengths": torch.tensor([LENGTH]).int(),
        "flow_embedding": random(1, SPEAKER),
        "z": random(1, MEL, frames),
        "hift_phase": phase(),
        "hift_sine_noise": random(1, HARMONICS, MelSpec().hop * frames).half(),
    }
    batch, longest = len(PADDED), max(PADDED)
    units, mels = zip(*TRAINING, strict=True)
    extra = {
        "A.token": random.ids(1, TARGET),
        "A.prompt_token": random.ids(1, PROMPT),
        "A.prompt_feat": random(1, KNOWN, MEL),
        "A.embedding": random(1, SPEAKER),
        "A.z": random(1, MEL, whole),
        "B.classifier_bias": torch.tensor([MIXED_HZ]),
        "B.conv_post_bias": random(18, rms=0.1) + LOUD,
        "B.mel": 2 * random(1, MEL, frames),
        "B.phase": phase(),
        "B.sine_noise": random(1, HARMONICS, MelSpec().hop * frames).half(),
        "C.x": random(batch, MEL, longest),
        "C.mu": random(batch, MEL, longest),
        "C.cond": random(batch, MEL, longest),
        "C.spk": random(batch, MEL),
        "C.t": random.uniform(batch),
        "C.lengths": torch.tensor(PADDED).int(),
        "D.token": random.ids(2, max(units)),
        "D.token_len": torch.tensor(units).int(),
        "D.feat": random(2, max(mels), MEL),
        "D.feat_len": torch.tensor(mels).int(),
        "D.embedding": random(2, SPEAKER),
        "D.t_uniform": random.uniform(2, 1, 1),
        "D.z": random(2, MEL, max(mels)),
        "D.keep_uniform": torch.tensor([0.7, 0.1]),
    }
    extra["A.token"][0, 1] = -1
    return {MAIN: main, EXTRA: extra}


@torch.no_grad()
def make(out: Path, seed: int) -> None:
    """All files, from nothing."""
    random = Random(seed)
    (out / f"{MAIN}.json").write_text(json.dumps({"config": CONFIG}, indent=1) + "\n")
    state = {k: v.half() for k, v in weights(random).items()}
    save_file(state, out / f"{MODEL}.safetensors")
    files = inputs(random)
    for file, tensors in files.items():
        save_file(tensors, out / f"{file}.safetensors")
    for file, name, compute in RESULTS.values():
        result = compute(VocoderCase(ParityFolder(out)))
        files[file][name] = result.clone().contiguous()
        save_file(files[file], out / f"{file}.safetensors")
    clamped = (files[EXTRA]["B.wav"].abs() >= 0.99).float().mean()
    for file, name in ((MAIN, "f0"), (EXTRA, "B.f0")):
        print(f"{name}: {files[file][name].min():.1f} to {files[file][name].max():.1f}")
    print(f"B: {clamped:.0%} of the samples clamped")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE, help="folder")
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    torch.set_num_threads(1)
    make(args.out, args.seed)


if __name__ == "__main__":
    main()
