"""Speech at the rate that a model takes, whatever the dump has."""

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from espnet2_taste.io.audio import audio_rate, resample
from espnet2_taste.io.tables import first_value
from espnet2_taste.tasks.options import first_part


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


def speech_rate(args: argparse.Namespace, train: bool) -> int | None:
    """Hz of the training or validation speech; None where there is none.

    The first recording tells it: ESPnet's reader sees to it that a set has one rate.
    """
    part = "train" if train else "valid"
    for path, name, _ in getattr(args, f"{part}_data_path_and_name_and_type", []):
        if name == "speech":
            return audio_rate(first_value(first_part(path)))
    return None


def at_rate(
    preprocess: Callable, wanted: int, args: argparse.Namespace, train: bool
) -> Callable:
    """``preprocess`` for the speech of the training or validation data.

    Args:
        preprocess: ``(uid, data) -> data``.
        wanted: Hz of the speech it takes.
        args: options of the training.
        train: the training data, else the validation data.
    """
    given = speech_rate(args, train)
    if given in (None, wanted):
        return preprocess
    return Resampled(preprocess, given, wanted)


class CountsBins(ABC):
    """Mix-in of tasks: ``--batch_bins`` counts samples at the rate the model takes.

    The shape files count those of the dump: half as fast again, half as many again.
    """

    @classmethod
    @abstractmethod
    def sample_rate(cls, args: argparse.Namespace) -> int:
        """Hz of the speech that the model takes."""

    @classmethod
    def build_iter_options(cls, args, distributed_option, mode):
        """ESPnet's, with other bins where the dump has another rate."""
        options = super().build_iter_options(args, distributed_option, mode)
        given, wanted = speech_rate(args, mode == "train"), cls.sample_rate(args)
        if given not in (None, wanted):
            options.batch_bins = round(options.batch_bins * given / wanted)
        return options
