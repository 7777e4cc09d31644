"""WORLD features of a data directory, of which `world_vq` units are made.

Writes feats.scp and feats_shape (frames of each utterance).
Analysis is the slow part of these units: it is done once for ``bin.units_train`` and
``bin.extract_units --feats``.
"""

import argparse
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.options import add_batch_options, add_data_options


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--config",
        type=Path,
        required=True,
        help="of training: model_conf num_ceps, frames_per_unit, bandwidth",
    )
    add_data_options(parser, "wav.scp [utt2num_samples]")
    add_batch_options(parser)
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    from espnet2_taste.io.config import read_training_config
    from espnet2_taste.io.shards import Shard
    from espnet2_taste.io.wav_dir import WavDir
    from espnet2_taste.units.analysis import (
        FRAMES_PER_UNIT,
        NUM_CEPS,
        world_features,
    )
    from espnet2_taste.units.world import BANDWIDTH, SAMPLE_RATE

    shard = Shard(args, arks=["feats"], tables=["feats_shape"])
    if shard.done:
        return
    conf = read_training_config(args.config).get("model_conf") or {}
    defaults = {"num_ceps": NUM_CEPS, "frames_per_unit": FRAMES_PER_UNIT}
    defaults["bandwidth"] = BANDWIDTH
    analysis = {name: conf.get(name, value) for name, value in defaults.items()}
    data = WavDir(args.data_dir, args.key_file)
    for keys in shard.batches(data.order(), data.ahead(SAMPLE_RATE)):
        for key, wav in data.read(keys, SAMPLE_RATE, shard).items():
            feats = world_features(wav, **analysis)
            shard.write(key, {"feats": feats, "feats_shape": str(len(feats))})


if __name__ == "__main__":
    run(main)
