"""WORLD features at the rate of the `world_vq` units, of one utterance or many.

Without torch, which the processes of :func:`analyse_all` would take seconds to import.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np

from espnet2_taste.units import world
from espnet2_taste.units.reading import try_read

FRAMES_PER_UNIT = 2
SAMPLES_PER_UNIT = FRAMES_PER_UNIT * world.FRAME_SHIFT


def count_units(num_samples: int) -> int:
    """Units of an utterance of ``num_samples`` samples at 16 kHz: ceil(N / 640)."""
    return -(-num_samples // SAMPLES_PER_UNIT)


def world_features(wav: np.ndarray, num_ceps: int) -> np.ndarray:
    """(N,) waveform -> (count_units(N) * FRAMES_PER_UNIT, NUM_PITCH + num_ceps)."""
    return world.analyse(wav, count_units(len(wav)) * FRAMES_PER_UNIT, num_ceps)


def _analyse(item: tuple[str, str, int | None], num_ceps: int):
    """(key, path, samples) -> (key, features), or (key, reason) as text."""
    key, path, num_samples = item
    wav, reason = try_read(path, key, world.SAMPLE_RATE, num_samples)
    return key, reason if wav is None else world_features(wav, num_ceps)


def _in_processes(function, items: list, nj: int) -> Iterator:
    """Results in the order of ``items``.

    Processes are spawned: a fork of one that has a GPU in use may hang or crash.
    """
    if nj == 1:
        yield from map(function, items)
        return
    with ProcessPoolExecutor(nj, mp_context=get_context("spawn")) as pool:
        yield from pool.map(function, items, chunksize=16)


def analyse_all(
    items: list[tuple[str, str, int | None]], num_ceps: int, nj: int
) -> dict[str, np.ndarray]:
    """WORLD features of many utterances in ``nj`` processes, unreadable ones skipped.

    Args:
        items: key, path and expected samples (None: unknown).
    """
    features = {}
    results = _in_processes(partial(_analyse, num_ceps=num_ceps), items, nj)
    for done, (key, result) in enumerate(results, 1):
        if isinstance(result, str):
            logging.warning("skipped %s: %s", key, result)
        elif len(result) > 0:
            features[key] = result
        if done % 500 == 0 or done == len(items):
            logging.info("WORLD analysis: %d of %d utterances", done, len(items))
    return features
