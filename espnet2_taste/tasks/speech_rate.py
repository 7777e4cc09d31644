"""Speech at the rate that a model takes, whatever the dump has."""

import argparse
from collections.abc import Callable

import numpy as np

from espnet2_taste.io.audio import audio_rate, resample
from espnet2_taste.io.kaldi import read_table


class Resampled:
    """A preprocessor whose ``speech`` comes at another rate.

    Args:
        preprocess: ``(uid, data) -> data``.
        given: Hz of the speech that is read.
        wanted: Hz of the speech that ``preprocess`` gets.
    """

    def __init__(self, preprocess: Callable, given: int, wanted: int):
        self.preprocess, self.given, self.wanted = preprocess, given, wanted

    def __call__(self, uid: str, data: dict) -> dict[str, np.ndarray]:
        speech = resample(data["speech"], self.given, self.wanted)
        return self.preprocess(uid, {**data, "speech": speech})


def at_rate(
    preprocess: Callable, wanted: int, args: argparse.Namespace, train: bool
) -> Callable:
    """``preprocess`` for the speech of the training or validation data.

    The first recording tells the rate: ESPnet's reader sees to it that a set has one.

    Args:
        preprocess: ``(uid, data) -> data``.
        wanted: Hz of the speech it takes.
        args: options of the training.
        train: the training data, else the validation data.
    """
    part = "train" if train else "valid"
    for path, name, _ in getattr(args, f"{part}_data_path_and_name_and_type", []):
        if name == "speech":
            given = audio_rate(next(iter(read_table(path).values())))
            if given != wanted:
                return Resampled(preprocess, given, wanted)
    return preprocess
