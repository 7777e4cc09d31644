"""ESPnet task of the x-vector speaker encoder."""

import argparse
import logging

import numpy as np
from espnet2.utils.nested_dict_action import NestedDictAction

from espnet2_taste.io.audio import audio_rate, resample
from espnet2_taste.io.class_conf import check_conf
from espnet2_taste.io.tables import first_value, read_entries
from espnet2_taste.io.values import check_numbers
from espnet2_taste.speaker.espnet_model import SpeakerModel
from espnet2_taste.speaker.xvector import SAMPLE_RATE, XVector
from espnet2_taste.tasks.options import data_files
from espnet2_taste.tasks.part_task import PartTask


class SpeakerPreprocessor:
    """``(uid, data) -> data``: a crop of the speech, and the number of its speaker.

    Args:
        names: training speakers, in the order of their numbers.
        sample_rate: of the speech, Hz.
        crop_s: seconds of the crops; short utterances are repeated.
        train: whether crops are random; else they are from the middle.
    """

    def __init__(self, names: list[str], sample_rate: int, crop_s: float, train: bool):
        self.numbers = {name: i for i, name in enumerate(names)}
        self.sample_rate = sample_rate
        self.size = int(crop_s * sample_rate)
        self.train = train

    def __call__(self, uid: str, data: dict) -> dict[str, np.ndarray]:
        """Raises ValueError on a bad utterance, naming it."""
        speech, name = data["speech"], str(data["speaker"])
        if name not in self.numbers:
            raise ValueError(f"utterance {uid}: {name} is no training speaker")
        if speech.ndim != 1 or not len(speech):
            raise ValueError(f"utterance {uid}: no mono audio")
        check_numbers(f"utterance {uid}: speech", speech)
        room = max(len(speech) - self.size, 0)
        start = np.random.randint(room + 1) if self.train else room // 2
        speech = np.resize(speech[start : start + self.size], self.size)
        speech = resample(speech.astype(np.float32), self.sample_rate, SAMPLE_RATE)
        return {"speech": speech, "speaker": np.array([self.numbers[name]])}


class SpeakerTask(PartTask):
    """Builds and trains :class:`~espnet2_taste.speaker.espnet_model.SpeakerModel`.

    The validation set holds other utterances of the training speakers.
    """

    data_names = ("speech", "speaker")

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group(description="Task related")
        group.add_argument(
            "--model_conf",
            action=NestedDictAction,
            default={},
            help="The keyword arguments for model class; num_speakers is read from "
            "the training data.",
        )
        group.add_argument(
            "--crop_s", type=float, default=1.5, help="Seconds of each utterance"
        )

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool):
        first = first_value(data_files(args)["speech"])
        names = training_speakers(args)
        return SpeakerPreprocessor(names, audio_rate(first), args.crop_s, train)

    @classmethod
    def new_model(cls, args: argparse.Namespace) -> SpeakerModel:
        own = ("margin", "scale")
        conf = {k: v for k, v in args.model_conf.items() if k not in own}
        check_conf("--model_conf", XVector, conf)
        args.model_conf["num_speakers"] = len(training_speakers(args))
        return SpeakerModel(**args.model_conf)


def training_speakers(args: argparse.Namespace) -> list[str]:
    """Their names, sorted; one alone is told from nobody: the encoder stays untrained.

    Raises:
        ValueError: none.
    """
    path = data_files(args)["speaker"]
    names = sorted({name for _, _, name in read_entries(path)})
    if not names:
        raise ValueError(f"{path} is empty")
    if len(names) == 1:
        logging.warning(
            "%s has one speaker, whom the encoder has nobody to tell from: it learns "
            "nothing, its mean embedding is a constant. A published one knows voices.",
            path,
        )
    return names
