"""Speech units of a data directory: units.{ark,scp} (int32, 1-D), num_units, rtf.json.

Units of the training set that training kept beside the model are not made again.
"""

import argparse
import logging
import time
from pathlib import Path

from espnet2_taste.bin import run
from espnet2_taste.bin.options import add_device_option, add_part_type


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    from espnet2_taste.units import unit_extractor_choices

    parser = argparse.ArgumentParser(description=__doc__)
    add_part_type(parser, "--model_type", unit_extractor_choices, "--units_conf")
    parser.add_argument(
        "--model",
        required=True,
        help="folder or file of the unit extractor, or packed model",
    )
    parser.add_argument(
        "--data_dir", type=Path, required=True, help="in dump/raw: wav.scp"
    )
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--key_file", help="utterances to do (default: all)")
    parser.add_argument("--batch_size", type=int, default=16)
    add_device_option(parser)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Entry point; ``cmd`` defaults to ``sys.argv[1:]``."""
    args = get_parser().parse_args(cmd)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    import numpy as np
    import torch

    from espnet2_taste.hub.packed import find_part
    from espnet2_taste.io.kaldi import ArkWriter
    from espnet2_taste.units import load_unit_extractor
    from espnet2_taste.units.cache import UnitCache
    from espnet2_taste.units.reading import WavDir, write_rtf

    choice, path = find_part(args.model, "units") or (args.model_type, args.model)
    extractor = load_unit_extractor(choice, path, device=args.device, **args.units_conf)
    data = WavDir(args.data_dir, args.key_file)
    cache = UnitCache(path)
    units = {
        key: cached
        for key, wav in data.wavs.items()
        if (cached := cache.get(key, wav)) is not None
    }
    if units:
        logging.info("%d utterances are in the cache of training", len(units))
    data.wavs = {key: path for key, path in data.wavs.items() if key not in units}
    seconds, audio = 0.0, 0.0
    for keys, wavs in data.batches(args.batch_size):
        start = time.perf_counter()
        results = extractor([torch.from_numpy(wav) for wav in wavs])
        seconds += time.perf_counter() - start
        audio += sum(len(wav) for wav in wavs) / extractor.sample_rate
        for key, result in zip(keys, results, strict=True):
            units[key] = result.numpy().astype(np.int32)
        if len(units) % 512 < args.batch_size:
            logging.info("%d utterances", len(units))
    data.report(len(units))
    with ArkWriter(args.output_dir, "units") as writer:
        for key in sorted(units):
            writer[key] = units[key]
    (args.output_dir / "num_units").write_text(f"{extractor.num_units}\n")
    write_rtf(args.output_dir, "unit_extractor_rtf", seconds, audio)


if __name__ == "__main__":
    run(main)
