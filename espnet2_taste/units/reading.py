"""Data directories as the stage 3 bins read them: bad audio is skipped and named."""

from pathlib import Path

import numpy as np

from espnet2_taste.io.kaldi import read_table, read_wav, select_keys
from espnet2_taste.io.shards import Shard

SAMPLE_RATE = 16000


def try_read(
    path: str, num_samples: int | None = None
) -> tuple[np.ndarray | None, str]:
    """(N,) float32 and "", or None and why not.

    Args:
        path: of a wave file in dump/raw.
        num_samples: expected, None if unknown.

    Raises:
        ValueError: another sample rate or several channels: the whole dump is wrong.
    """
    if not Path(path).is_file():
        return None, f"{path} does not exist"
    try:
        wav = read_wav(path, SAMPLE_RATE)
    except ValueError as error:
        if "wanted" in str(error):
            raise
        return None, str(error)
    if len(wav) == 0:
        return None, f"{path} has no samples"
    if num_samples is not None and len(wav) < num_samples:
        return None, f"{path} is truncated: {len(wav)} of {num_samples} samples"
    return wav, ""


class WavDir:
    """The utterances of a data directory.

    Args:
        data_dir: with wav.scp and, to notice truncated files, utt2num_samples.
        key_file: utterances to use, one first on each line; None for all.
    """

    def __init__(self, data_dir: str | Path, key_file: str | None = None):
        table = read_table(Path(data_dir) / "wav.scp")
        self.wavs = select_keys(table, key_file)
        counts = Path(data_dir) / "utt2num_samples"
        self.num_samples = read_table(counts) if counts.is_file() else {}

    def items(self) -> list[tuple[str, str, int | None]]:
        """(key, path, expected samples) of each utterance, sorted by key."""
        expected = {key: int(value) for key, value in self.num_samples.items()}
        return [(key, self.wavs[key], expected.get(key)) for key in sorted(self.wavs)]

    def read(self, keys: list[str], shard: Shard) -> dict[str, np.ndarray]:
        """(N,) float32 of each key; the shard skips what cannot be used."""
        found = {}
        for key in keys:
            expected = self.num_samples.get(key)
            wav, reason = try_read(self.wavs[key], expected and int(expected))
            if wav is None:
                shard.skip(key, reason)
            else:
                found[key] = wav
        return found
