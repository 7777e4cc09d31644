"""Weights and inputs that a fixture folder need not store: drawn from a seed.

Uniform draws only, scaled and rounded to float16: the same bits on every machine,
which a Gaussian's logarithms do not promise.
"""

import math
import re
import zlib

import numpy as np
import torch

#: root mean square (None: 1 / sqrt(fan in)) and mean, by the first pattern found
_RULES = [
    (r"initted$", 0.0, 1.0),
    (r"cluster_size$", 2.0, 10.0),
    (r"_codebook\.embed$", 0.4, 0.0),
    (r"embed_avg$", 4.0, 0.0),
    (r"(^|_)audio_features$", 0.5, 0.0),
    (r"(^|\.)wav\d*$", 0.1, 0.0),
    (r"lora_[AB]", 0.3, 0.0),
    (r"logvar$", 0.3, -1.0),
    (r"embed_tokens|embedding|embed_positions|pad_\w+_embed", 0.6, 0.0),
    (r"norm\w*\.weight$|embed\.out\.1\.weight$", 0.1, 1.0),
    (r"(bias|weights|pos_bias_[uv])$", 0.2, 0.0),
]


def draw(name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Float32 tensor with float16 values, a function of its arguments only."""
    random = np.random.RandomState((seed + zlib.crc32(name.encode())) % 2**32)
    scale, mean = 1 / math.sqrt(max(1, math.prod(shape[1:]))), 0.0
    for pattern, rms, center in _RULES:
        if re.search(pattern, name):
            scale, mean = rms, center
            break
    values = mean + scale * math.sqrt(3) * (2 * random.random_sample(shape) - 1)
    return torch.from_numpy(np.asarray(values, dtype=np.float16)).float()
