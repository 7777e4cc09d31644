"""ESPnet's ASR task on speech of any rate, without what depends on the batch."""

import argparse

from espnet2.tasks.asr import ASRTask

import espnet2_taste.tasks.ark_data  # noqa: F401
from espnet2_taste.asr.espnet_asr import mask_padding, register_frontend
from espnet2_taste.io.audio import parse_rate
from espnet2_taste.io.checkpoint import check_init_freeze
from espnet2_taste.tasks.saving_trainer import SavingTrainer
from espnet2_taste.tasks.speech_rate import CountsBins, at_rate

register_frontend()


class ResamplingASRTask(CountsBins, ASRTask):
    """The dump's speech is resampled to the frontend's rate, and what an utterance's
    last frames are does not depend on its neighbours in the batch. Alone and at the
    frontend's rate, an utterance gives what it gives in ESPnet."""

    trainer = SavingTrainer

    @classmethod
    def sample_rate(cls, args: argparse.Namespace) -> int:
        """Hz of the speech that the frontend takes: its option ``fs``."""
        return parse_rate((args.frontend_conf or {}).get("fs", 16000))

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool):
        preprocess = super().build_preprocess_fn(args, train)
        if preprocess is None:
            return None
        return at_rate(preprocess, cls.sample_rate(args), args, train)

    @classmethod
    def build_model(cls, args: argparse.Namespace):
        model = super().build_model(args)
        mask_padding(model.encoder)
        check_init_freeze(args, model)
        return model
