"""`espnet` aligner: CTC forced alignment with an ESPnet ASR model."""

from functools import cached_property
from importlib.metadata import version

import numpy as np

from espnet2_taste.asr.abs_aligner import (
    AbsAligner,
    AlignmentError,
    WordTimes,
)
from espnet2_taste.asr.recording import Recording
from espnet2_taste.io.identity import weights_identity
from espnet2_taste.io.models import find_checkpoint


class EspnetAligner(AbsAligner):
    """A CTC model on characters (see ``asr.ctc_aligner``), pauses by level.

    Do not score with the model that stage 3 aligned the training data with: it is no
    independent witness of a ``word_synchronous`` decoder's durations.

    Args:
        model: checkpoint beside its config.yaml, or a training folder (its best).
        device: torch device.

    Raises:
        FileNotFoundError: a folder without model, or a checkpoint without config.
    """

    on_device = True

    def __init__(self, model: str, device: str = "cpu"):
        self.path = find_checkpoint(model)
        self.config = self.path.parent / "config.yaml"
        for file in (self.path, self.config):
            if not file.is_file():
                raise FileNotFoundError(f"espnet aligner: no file {file}")
        self.device = device

    @property
    def identity(self) -> str:
        name = self.path.resolve().parent.name
        return f"ESPnet {version('espnet')} CTC {name} {weights_identity(self.path)}"

    @cached_property
    def aligner(self):
        """The model."""
        from espnet2_taste.asr.ctc_aligner import CTCAligner

        return CTCAligner(str(self.config), str(self.path), self.device)

    def __call__(
        self, recordings: list[Recording], wavs: list[np.ndarray]
    ) -> list[WordTimes | AlignmentError]:
        from espnet2_taste.asr.ctc_alignment import word_times

        results: list[WordTimes | AlignmentError] = []
        words = [list(recording.words) for recording in recordings]
        for wav, found in zip(wavs, self.aligner.word_spans(wavs, words), strict=True):
            if isinstance(found, ValueError):
                results.append(AlignmentError("not alignable"))
                continue
            times = word_times(found[0], wav, self.aligner.sample_rate)
            if (times.ends <= times.starts).any():
                results.append(AlignmentError("not alignable"))
                continue
            results.append(WordTimes(times.starts, times.ends))
        return results
