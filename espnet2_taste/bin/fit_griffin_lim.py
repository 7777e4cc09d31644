"""Fit the `griffin_lim` vocoder to units of any kind: griffin_lim.pth."""

import argparse

from espnet2_taste.bin import command, run
from espnet2_taste.bin.numbers import positive
from espnet2_taste.bin.options import add_data_options


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_options(parser, "wav.scp units.scp unit_spec.yaml")
    parser.add_argument("--num_utterances", type=positive, default=300)
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    import numpy as np
    import torch

    from espnet2_taste.io.arks import read_arks
    from espnet2_taste.io.tables import read_table
    from espnet2_taste.io.wav_dir import try_read
    from espnet2_taste.units.unit_spec import UnitSpec
    from espnet2_taste.vocoder.griffin_lim import GriffinLimVocoder

    rate = GriffinLimVocoder.sample_rate
    wavs = read_table(args.data_dir / "wav.scp")
    units = read_arks(args.data_dir / "units.scp")
    spec = UnitSpec.read(args.data_dir / UnitSpec.FILE)
    keys = sorted(wavs.keys() & units.keys())
    stride = max(1, len(keys) // args.num_utterances)  # spread over the speakers
    pairs = (
        (torch.from_numpy(np.array(units[key])).long(), torch.from_numpy(wav))
        for key in keys[::stride]
        if (wav := try_read(wavs[key], key, rate)[0]) is not None
    )
    samples_per_unit = round(rate / spec.unit_rate)
    vocoder = GriffinLimVocoder.fit(pairs, spec.num_units, samples_per_unit)
    vocoder.save(args.output_dir)


if __name__ == "__main__":
    run(main)
