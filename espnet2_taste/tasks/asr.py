"""ESPnet's ASR task, which resamples the dump's speech to its frontend's rate."""

import argparse

from espnet2.tasks.asr import ASRTask

from espnet2_taste.io.audio import parse_rate
from espnet2_taste.tasks.speech_rate import CountsBins, at_rate


class ResamplingASRTask(CountsBins, ASRTask):
    """Where the rates are equal, nothing differs from ESPnet's."""

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
