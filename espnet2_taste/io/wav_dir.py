"""Data directories as sharded programs read them: bad audio is skipped and named."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from espnet2_taste.io.audio import read_audio
from espnet2_taste.io.shards import Shard
from espnet2_taste.io.tables import check_keys, parse_count, read_selected, read_table

READERS = 4  # threads


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

    Attributes:
        wavs: utterance -> entry of wav.scp.

    Raises:
        FileNotFoundError, ValueError: a table is missing or malformed.
    """

    def __init__(self, data_dir: str | Path, key_file: str | None):
        self.folder = Path(data_dir)
        self.wavs = read_selected(self.folder / "wav.scp", key_file)
        counts = self.folder / "utt2num_samples"
        self._samples = {}
        if counts.is_file():
            self._samples = read_table(counts, parse=parse_count, keys=self.wavs)

        self._now, self._next = {}, {}  # what is being read ahead

    def ahead(self, sample_rate: int) -> Callable[[list[str]], None]:
        """For :meth:`Shard.batches`: a batch is read, decoded and resampled by threads
        while the one before it is at work (they leave Python to others)."""
        pool = ThreadPoolExecutor(READERS)

        def start(keys: list[str]) -> None:
            self._now = self._next
            self._next = {
                (key, sample_rate): pool.submit(self._read, key, sample_rate)
                for key in keys
            }

        return start

    def _read(self, key: str, sample_rate: int) -> tuple[np.ndarray | None, str]:
        samples = self._samples.get(key)
        return try_read(self.wavs[key], key, sample_rate, samples)

    def order(self) -> dict[str, int] | list[str]:
        """For :meth:`Shard.batches`: by length if all are known, else by id."""
        known = len(self._samples) == len(self.wavs)
        return self.lengths() if known else sorted(self.wavs)

    def lengths(self) -> dict[str, int]:
        """Samples of each utterance at its own rate, by utt2num_samples."""
        path = self.folder / "utt2num_samples"
        if not self._samples:
            raise FileNotFoundError(f"no file {path}: run stage 2")
        check_keys(path, self._samples, self.wavs)
        return {key: self._samples[key] for key in self.wavs}

    def table(self, name: str) -> dict[str, str]:
        """Another table, which must have these utterances."""
        table = read_table(self.folder / name, keys=self.wavs)
        check_keys(self.folder / name, table, self.wavs)
        return table

    def read_one(self, key: str, sample_rate: int) -> tuple[np.ndarray | None, str]:
        """(N,) float32 at ``sample_rate`` and "", or None and why not.

        What :meth:`ahead` has read is not read again.
        """
        ahead = self._now.get((key, sample_rate))
        return ahead.result() if ahead else self._read(key, sample_rate)

    def read(self, keys: list[str], sample_rate: int, shard: Shard) -> dict:
        """:meth:`read_one` of each key; the shard skips bad ones."""
        found = {}
        for key in keys:
            wav, reason = self.read_one(key, sample_rate)
            if wav is None:
                shard.skip(key, reason)
            else:
                found[key] = wav
        return found
