"""A vocoder of one file: each 25 Hz unit is a tone of 40 ms at 24 kHz."""

import json
from pathlib import Path

from toy_units import toy_file

from espnet2_taste.units.unit_spec import UnitSpec
from espnet2_taste.vocoder.abs_vocoder import AbsVocoder


class ToyVocoder(AbsVocoder):
    """A louder unit is a higher tone; what it takes is in its file.

    Args:
        spec: of the units.
        spk_embed_dim: of the speakers, whom it does not listen to.
        gain: of the tones.
    """

    sample_rate = 24000

    def __init__(self, spec: UnitSpec, spk_embed_dim: int, gain: float = 0.5):
        self.unit_spec, self.spk_embed_dim, self.gain = spec, spk_embed_dim, gain

    @classmethod
    def from_pretrained(cls, path, device="cpu", gain: float = 0.5):
        conf = json.loads(toy_file(path).read_text())
        return cls(UnitSpec(**conf["unit_spec"]), conf["spk_embed_dim"], gain)

    @classmethod
    def pack(cls, path, folder):
        (folder / "toy.json").write_text(Path(path).read_text())

    def __call__(self, units, spk_emb):
        hertz = [(100.0 * (row + 1)).repeat_interleave(960) for row in units]
        return [self.gain * (6.283 * f.cumsum(0) / 24000).sin() for f in hertz]
