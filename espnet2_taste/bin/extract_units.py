"""Speech units of a data directory: units.scp (1-D int32) and unit_spec.yaml."""

import argparse
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.options import (
    add_batch_options,
    add_data_options,
    add_device_option,
    add_part_type,
)


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
        "--feats", type=Path, help="feats.scp of bin.extract_world: not analysed again"
    )
    add_data_options(parser, "wav.scp [utt2num_samples]")
    add_batch_options(parser, batch_size=16)
    add_device_option(parser)
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    import numpy as np
    import torch

    from espnet2_taste.io.arks import Arks
    from espnet2_taste.io.models import find_part
    from espnet2_taste.io.shards import Shard
    from espnet2_taste.io.wav_dir import WavDir
    from espnet2_taste.units import load_unit_extractor
    from espnet2_taste.units.unit_spec import UnitSpec

    shard = Shard(args, arks=["units"])
    if shard.done:
        return
    choice, path = find_part(args.model, "units") or (args.model_type, args.model)
    extractor = load_unit_extractor(choice, path, device=args.device, **args.units_conf)
    shard.files[UnitSpec.FILE] = extractor.spec.text()
    data = WavDir(args.data_dir, args.key_file)
    feats = Arks(args.feats, keys=data.wavs) if args.feats else {}
    ahead = None if args.feats else data.ahead(extractor.sample_rate)
    for keys in shard.batches(data.order(), ahead):
        known = {key: np.array(feats[key]) for key in keys if key in feats}
        results = extractor.encode_features(list(known.values())) if known else []
        for key, units in zip(known, results, strict=True):
            shard.write(key, {"units": units.numpy().astype(np.int32)})
        unread = [key for key in keys if key not in feats]
        wavs = data.read(unread, extractor.sample_rate, shard)
        if not wavs:
            continue
        with shard.clock("unit_extractor"):
            results = extractor([torch.from_numpy(wav) for wav in wavs.values()])
        for (key, wav), units in zip(wavs.items(), results, strict=True):
            audio_s = len(wav) / extractor.sample_rate
            shard.write(key, {"units": units.numpy().astype(np.int32)}, audio_s)


if __name__ == "__main__":
    run(main)
