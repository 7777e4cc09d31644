"""A unit extractor of one file: 25 Hz units of 24 kHz speech, by level."""

import json
from pathlib import Path

from espnet2_taste.units.abs_unit_extractor import AbsUnitExtractor


def toy_file(path) -> Path:
    """The file itself, or that in the folder it was packed into."""
    return Path(path) / "toy.json" if Path(path).is_dir() else Path(path)


class ToyUnits(AbsUnitExtractor):
    """A unit is the level of 40 ms.

    Args:
        num_units: levels.
    """

    unit_rate = 25.0
    sample_rate = 24000

    def __init__(self, num_units: int):
        self.num_units = num_units

    @classmethod
    def from_pretrained(cls, path, device="cpu", louder: int = 0):
        return cls(json.loads(toy_file(path).read_text())["num_units"] + louder)

    @classmethod
    def pack(cls, path, folder):
        (folder / "toy.json").write_text(Path(path).read_text())

    def __call__(self, wavs):
        levels = [wav[: len(wav) // 960 * 960].reshape(-1, 960).abs() for wav in wavs]
        return [(x.mean(1) * self.num_units).long().clamp(max=9) for x in levels]
