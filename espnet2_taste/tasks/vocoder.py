"""ESPnet task of vocoders: speech units -> speech."""

import argparse

import numpy as np
from espnet2.train.abs_espnet_model import AbsESPnetModel

from espnet2_taste.io.class_choices import ClassChoices
from espnet2_taste.io.values import as_integers, check_numbers
from espnet2_taste.tasks.options import check_data
from espnet2_taste.tasks.part_task import PartTask
from espnet2_taste.tasks.speech_rate import CountsBins, at_rate
from espnet2_taste.vocoder.cosyvoice.espnet_model import FlowModel
from espnet2_taste.vocoder.cosyvoice2.espnet_model import CausalFlowModel


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
        units = as_integers(f"utterance {uid}: units", data["units"])
        for name in ("speech", "spk_emb"):
            check_numbers(f"utterance {uid}: {name}", data[name])
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


vocoder_choices = ClassChoices(
    "vocoder",
    {"cosyvoice_flow": FlowModel, "cosyvoice2_flow": CausalFlowModel},
    type_check=AbsESPnetModel,
    default="cosyvoice_flow",
)


class VocoderTask(CountsBins, PartTask):
    """Builds and trains a model that makes speech, or its mel, of units.

    The class has the attributes ``unit_spec`` and ``spk_embed_dim``, and ``rates`` as
    :class:`~espnet2_taste.vocoder.cosyvoice.espnet_model.FlowModel` has it.
    """

    class_choices_list = [vocoder_choices]
    data_names = ("speech", "units", "spk_emb")

    @classmethod
    def rates(cls, args: argparse.Namespace) -> tuple[int, float]:
        """Hz of the speech and units a second that the vocoder takes."""
        return vocoder_choices.get_class(args.vocoder).rates(**args.vocoder_conf)

    @classmethod
    def sample_rate(cls, args: argparse.Namespace) -> int:
        """Hz of the speech that the vocoder takes."""
        return cls.rates(args)[0]

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool):
        sample_rate, unit_rate = cls.rates(args)
        preprocess = VocoderPreprocessor(sample_rate, unit_rate)
        return at_rate(preprocess, sample_rate, args, train)

    @classmethod
    def new_model(cls, args: argparse.Namespace) -> AbsESPnetModel:
        model = vocoder_choices.build(args)
        check_data(
            args, f"--vocoder {args.vocoder}", model.unit_spec, model.spk_embed_dim
        )
        return model
