"""Units of the training set, kept beside the model that training made."""

import os
from pathlib import Path

import kaldiio
import numpy as np
import torch

from espnet2_taste.io.kaldi import ArkWriter, read_table, write_table


class UnitCache:
    """Units of the training set, kept by training so that nothing is analysed twice.

    An entry holds for one file of one size and modification time.

    Args:
        model_dir: folder of the trained extractor.
    """

    name = "train_units"

    def __init__(self, model_dir: str | Path):
        scp = Path(model_dir) / f"{self.name}.scp"
        self.arks, self.sources = {}, {}
        if scp.is_file():
            self.arks = kaldiio.load_scp(str(scp))
            self.sources = read_table(Path(model_dir) / f"{self.name}.sources")

    def get(self, key: str, wav: str) -> np.ndarray | None:
        """(U,) int32 units of ``key``, or None where ``wav`` is not what was seen."""
        if key not in self.sources or self.sources[key] != self._source(wav):
            return None
        return self.arks[key]

    @staticmethod
    def _source(wav: str) -> str:
        try:
            stat = os.stat(wav)
        except OSError:
            return ""
        return f"{stat.st_size} {stat.st_mtime_ns} {os.path.realpath(wav)}"

    @classmethod
    def write(
        cls,
        model_dir: str | Path,
        units: dict[str, torch.Tensor],
        wavs: dict[str, str],
    ) -> None:
        """Write (U,) units by key and where they came from."""
        sources = {}
        with ArkWriter(model_dir, cls.name) as writer:
            for key in sorted(units):
                writer[key] = units[key].numpy().astype(np.int32)
                sources[key] = cls._source(wavs[key])
            write_table(Path(model_dir) / f"{cls.name}.sources", sources)
