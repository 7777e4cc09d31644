"""One random stream per item, so that a batch gives what single runs give."""

import hashlib

import torch


def item_seed(name: str) -> int:
    """Seed of an item by its name: the batch and the job it is in do not matter."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def item_generator(seed: int, item_seed: int) -> torch.Generator:
    """The stream of (seed, item_seed), equal on every machine: draw on the CPU."""
    digest = hashlib.blake2b(f"{seed}:{item_seed}".encode(), digest_size=8).digest()
    generator = torch.Generator("cpu")  # whatever torch's default device is
    return generator.manual_seed(int.from_bytes(digest, "little") >> 1)
