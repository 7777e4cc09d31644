"""Data directories as the stage 3 bins read them: bad audio is skipped and named."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from espnet2_taste.io.atomic import write_text
from espnet2_taste.io.kaldi import read_table, read_wav, select_keys

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
        self.is_shard = key_file is not None
        counts = Path(data_dir) / "utt2num_samples"
        self.num_samples = read_table(counts) if counts.is_file() else {}
        self.skipped: dict[str, str] = {}

    def items(self) -> list[tuple[str, str, int | None]]:
        """(key, path, expected samples) of each utterance, sorted by key."""
        expected = {key: int(value) for key, value in self.num_samples.items()}
        return [(key, self.wavs[key], expected.get(key)) for key in sorted(self.wavs)]

    def read(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield (key, (N,) float32), sorted by key; bad ones land in ``skipped``."""
        for key, path, num_samples in self.items():
            wav, reason = try_read(path, num_samples)
            if wav is None:
                self.skipped[key] = reason
                logging.warning("skipped %s: %s", key, reason)
            else:
                yield key, wav

    def batches(self, batch_size: int) -> Iterator[tuple[list[str], list[np.ndarray]]]:
        """Yield keys and waveforms of ``batch_size`` utterances at a time."""
        keys, wavs = [], []
        for key, wav in self.read():
            keys.append(key)
            wavs.append(wav)
            if len(keys) == batch_size:
                yield keys, wavs
                keys, wavs = [], []
        if keys:
            yield keys, wavs

    def report(self, done: int) -> None:
        """Say how many utterances were done and skipped (each was named).

        Raises:
            RuntimeError: nothing was done, and this is no shard (a shard may be
                unlucky; the set as a whole may not).
        """
        logging.info("%d utterances done, %d skipped", done, len(self.skipped))
        if done == 0 and not self.is_shard:
            first = next(iter(self.skipped.values()), "the list is empty")
            raise RuntimeError(f"no utterance could be used ({first})")


def write_rtf(output_dir: Path, name: str, seconds: float, audio_s: float) -> None:
    """Print and write ``rtf.json``: {name: seconds of work per second of audio}."""
    rtf = seconds / audio_s if audio_s else 0.0
    logging.info("%s %.4f (%.1f s for %.1f s of audio)", name, rtf, seconds, audio_s)
    write_text(output_dir / "rtf.json", json.dumps({name: rtf}) + "\n")
