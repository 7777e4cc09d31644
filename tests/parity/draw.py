"""Weights and inputs that a fixture folder need not store: drawn from a seed.

Uniform draws only, scaled and rounded to float16: the same bits on every machine,
which a Gaussian's logarithms do not promise.
"""

import math
import re
import zlib

import numpy as np
import torch

#: (root mean square, mean) by the first pattern found in a name
_RULES = [
    (r"initted$", 0.0, 1.0),
    (r"cluster_size$", 2.0, 10.0),
    (r"_codebook\.embed$", 0.4, 0.0),
    (r"embed_avg$", 4.0, 0.0),
    (r"audio_features$", 0.5, 0.0),
    (r"^wav\d+$", 0.1, 0.0),
    (r"topp_in$", 3.0, 0.0),
    (r"lora_[AB]", 0.3, 0.0),
    (r"logvar$", 0.3, -1.0),
    (r"language_model\..+embed_tokens", 0.3, 0.0),
    (r"embed_tokens|embedding|embed_positions|pad_\w+_embed", 0.6, 0.0),
    (r"norm\w*\.weight$|embed\.out\.1\.weight$", 0.1, 1.0),
    (r"(bias|weights|pos_bias_[uv])$", 0.2, 0.0),
]
#: the same, relative to 1 / sqrt(fan in)
_FAN_IN_RULES = [
    # beside a residual stream multiplied by sqrt(size)
    (r"speech_decoder\..+(linear_out|w_2)\.weight$", 5.0, 0.0),
    (r"weight$", 1.0, 0.0),
]


def draw(name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Float32 tensor with float16 values, a function of its arguments only."""
    random = np.random.RandomState((seed + zlib.crc32(name.encode())) % 2**32)
    fan_in = math.prod(shape[1:])
    relative = [(p, rms / math.sqrt(fan_in), mean) for p, rms, mean in _FAN_IN_RULES]
    rules = [*_RULES, *relative, ("", 1.0, 0.0)]
    _, rms, mean = next(rule for rule in rules if re.search(rule[0], name))
    values = mean + rms * math.sqrt(3) * (2 * random.random_sample(shape) - 1)
    return torch.from_numpy(np.asarray(values, dtype=np.float16)).float()
