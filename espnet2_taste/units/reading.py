"""Data directories as the stage 3 bins read them: bad audio is skipped and named."""

from pathlib import Path

import numpy as np

from espnet2_taste.io.audio import read_audio
from espnet2_taste.io.shards import Shard
from espnet2_taste.io.tables import read_table, select_keys


def try_read(
    entry: str, utt: str, sample_rate: int, num_samples: int | None = None
) -> tuple[np.ndarray | None, str]:
    """(N,) float32 and "", or None and why not; see :func:`read_audio`."""
    try:
        return read_audio(entry, utt, sample_rate, num_samples), ""
    except (OSError, ValueError) as error:
        return None, str(error).removeprefix(f"{utt}: ")


class WavDir:
    """The utterances of a data directory.

    Args:
        data_dir: with wav.scp and, to notice truncated files, utt2num_samples.
        key_file: utterances to use, one first on each line; None for all.
        sample_rate: Hz wanted.
    """

    def __init__(self, data_dir: str | Path, key_file: str | None, sample_rate: int):
        table = read_table(Path(data_dir) / "wav.scp")
        self.wavs = select_keys(table, key_file)
        self.sample_rate = sample_rate
        counts = Path(data_dir) / "utt2num_samples"
        self.num_samples = read_table(counts) if counts.is_file() else {}

    def read(self, keys: list[str], shard: Shard) -> dict[str, np.ndarray]:
        """(N,) float32 of each key; the shard skips what cannot be used."""
        found = {}
        for key in keys:
            expected = int(self.num_samples.get(key, 0))
            wav, reason = try_read(self.wavs[key], key, self.sample_rate, expected)
            if wav is None:
                shard.skip(key, reason)
            else:
                found[key] = wav
        return found
