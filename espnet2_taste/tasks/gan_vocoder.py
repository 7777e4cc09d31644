"""ESPnet task of vocoders that are trained against discriminators: mel -> speech."""

import argparse

import numpy as np
import torch
from espnet2.tasks.abs_task import optim_classes
from espnet2.train.abs_espnet_model import AbsESPnetModel
from espnet2.train.gan_trainer import GANTrainer

from espnet2_taste.io.class_choices import ClassChoices
from espnet2_taste.io.values import check_numbers
from espnet2_taste.tasks.part_task import PartTask
from espnet2_taste.tasks.saving_trainer import SavingTrainer
from espnet2_taste.tasks.speech_rate import at_rate
from espnet2_taste.units.world import harvest_f0
from espnet2_taste.vocoder.cosyvoice.hift_model import HiFTModel
from espnet2_taste.vocoder.cosyvoice2.espnet_model import HiFT24Model

#: options that ESPnet's GAN trainer has no use for -> the value that they must keep
FIXED = {
    "accum_grad": 1,
    "grad_noise": False,
    "skip_discriminator_prob": 0.0,
    "use_deepspeed": False,
}


class SegmentPreprocessor:
    """``(uid, data) -> data``: a segment of the speech, and its f0 by frame.

    Args:
        sample_rate: of the speech, Hz.
        hop: samples of a mel frame.
        segment: frames of the segments; short utterances end in silence.
        train: whether segments are random; else they are from the middle.
    """

    def __init__(self, sample_rate: int, hop: int, segment: int, train: bool):
        self.sample_rate, self.hop, self.train = sample_rate, hop, train
        self.size = segment * hop

    def __call__(self, uid: str, data: dict) -> dict[str, np.ndarray]:
        """Raises ValueError on a bad utterance, naming it."""
        speech = data["speech"]
        if speech.ndim != 1:
            raise ValueError(
                f"utterance {uid}: speech is not mono; stage 2 makes it so"
            )
        if len(speech) < self.hop:
            raise ValueError(
                f"utterance {uid}: {len(speech)} samples at {self.sample_rate} Hz are "
                f"too short for a mel frame of {self.hop}"
            )
        check_numbers(f"utterance {uid}: speech", speech)
        room = max(len(speech) - self.size, 0)
        start = np.random.randint(room + 1) if self.train else room // 2
        part = speech[start : start + self.size]
        segment = np.zeros(self.size, np.float32)
        segment[: len(part)] = part
        f0 = harvest_f0(segment, self.sample_rate, self.hop)
        return {"speech": segment, "f0": f0}


class SavingGANTrainer(SavingTrainer, GANTrainer):
    """ESPnet's GAN trainer, with files as :class:`SavingTrainer` keeps them."""


gan_vocoder_choices = ClassChoices(
    "vocoder",
    {"cosyvoice_hift": HiFTModel, "cosyvoice2_hift": HiFT24Model},
    type_check=AbsESPnetModel,
    default="cosyvoice2_hift",
)


class GANVocoderTask(PartTask):
    """Builds and trains a model that makes speech of its mel, with discriminators.

    The class has the modules ``hift`` and ``discriminators``, and ``segments`` as
    :class:`~espnet2_taste.vocoder.cosyvoice.hift_model.HiFTModel` has it. ``--optim2``
    and ``--scheduler2`` are of the discriminators.
    """

    num_optimizers = 2
    class_choices_list = [gan_vocoder_choices]
    trainer = SavingGANTrainer
    data_names = ("speech",)

    @classmethod
    def complete(cls, args: argparse.Namespace) -> None:
        """Refuse what ESPnet's GAN trainer would stop at later, or ignore.

        Raises:
            ValueError: names the option.
        """
        for name, value in FIXED.items():
            if (given := getattr(args, name, value)) != value:
                raise ValueError(
                    f"--{name} {given}: ESPnet's GAN trainer takes {value} alone"
                )

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool):
        kind = gan_vocoder_choices.get_class(args.vocoder)
        spec, segment = kind.segments(**args.vocoder_conf)
        preprocess = SegmentPreprocessor(spec.sample_rate, spec.hop, segment, train)
        return at_rate(preprocess, spec.sample_rate, args, train)

    @classmethod
    def new_model(cls, args: argparse.Namespace) -> AbsESPnetModel:
        return gan_vocoder_choices.build(args)

    @classmethod
    def build_optimizers(
        cls, args: argparse.Namespace, model: AbsESPnetModel
    ) -> list[torch.optim.Optimizer]:
        """One of the generator and one of its discriminators."""
        made = []
        for module, end in ((model.hift, ""), (model.discriminators, "2")):
            kind = optim_classes[getattr(args, f"optim{end}")]
            conf = getattr(args, f"optim{end}_conf")
            made.append(kind(module.parameters(), **conf))
        return made
