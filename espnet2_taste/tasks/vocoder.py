"""ESPnet task of the vocoder's flow: speech units -> mel."""

import argparse

import numpy as np
from espnet2.tasks.abs_task import AbsTask
from espnet2.utils.get_default_kwargs import get_default_kwargs
from espnet2.utils.nested_dict_action import NestedDictAction

from espnet2_taste.io.checkpoint import check_init_freeze
from espnet2_taste.tasks.collate import TasteCollate
from espnet2_taste.tasks.trainer import TasteTrainer
from espnet2_taste.vocoder.cosyvoice.espnet_model import FlowModel


class VocoderPreprocessor:
    """``(uid, data) -> data`` of vocoder training; the units must cover the speech.

    Args:
        sample_rate: of the speech, Hz.
        unit_rate: units a second.
    """

    def __init__(self, sample_rate: int, unit_rate: float):
        self.sample_rate = sample_rate
        self.unit_rate = unit_rate

    def __call__(self, uid: str, data: dict) -> dict[str, np.ndarray]:
        """Units become int64.

        Raises:
            ValueError: on a bad utterance; the message names it.
        """
        units = np.asarray(data["units"]).astype(np.int64)
        for name in ("speech", "spk_emb"):
            if not np.isfinite(data[name]).all():
                raise ValueError(f"utterance {uid}: {name} has NaN or infinite values")
        if data["speech"].ndim != 1:
            raise ValueError(
                f"utterance {uid}: speech is not mono; stage 2 makes it so"
            )
        seconds = len(data["speech"]) / self.sample_rate
        expected = self.unit_rate * seconds
        if len(units) < 1 or expected < 1:
            raise ValueError(
                f"utterance {uid}: shorter than one unit ({1 / self.unit_rate:g} s)"
            )
        if abs(len(units) - expected) > 3 + 0.05 * expected:
            raise ValueError(
                f"utterance {uid}: {len(units)} units for {seconds:.2f} s of speech: "
                f"this vocoder takes {self.unit_rate:g} a second (of audio of "
                f"{self.sample_rate} Hz)"
            )
        return {**data, "units": units}


class VocoderTask(AbsTask):
    """Builds and trains
    :class:`~espnet2_taste.vocoder.cosyvoice.espnet_model.FlowModel`.
    """

    num_optimizers = 1
    class_choices_list = []
    trainer = TasteTrainer

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group(description="Task related")
        group.add_argument(
            "--model_conf",
            action=NestedDictAction,
            default=get_default_kwargs(FlowModel),
            help="The keyword arguments for model class.",
        )

    @classmethod
    def build_collate_fn(cls, args: argparse.Namespace, train: bool):
        return TasteCollate()

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool):
        conf = get_default_kwargs(FlowModel) | args.model_conf
        return VocoderPreprocessor(conf["fs"], 50)

    @classmethod
    def required_data_names(
        cls, train: bool = True, inference: bool = False
    ) -> tuple[str, ...]:
        return ("speech", "units", "spk_emb")

    @classmethod
    def optional_data_names(
        cls, train: bool = True, inference: bool = False
    ) -> tuple[str, ...]:
        return ()

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> FlowModel:
        model = FlowModel(**args.model_conf)
        check_init_freeze(args, model)
        return model
