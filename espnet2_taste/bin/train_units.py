"""Train the `world_vq` units and vocoder, and fit the Griffin-Lim fallback.

Writes config.yaml, model.pth, griffin_lim.pth and the units of the training set
(train_units.*, which extract_units reuses). A killed run is simply run again: the
same seed and threads give the same files (on a GPU, nearly the same).
"""

import argparse
import logging
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.options import add_device_option


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--config",
        type=Path,
        required=True,
        help="YAML: model_conf, train_conf, griffin_lim_conf",
    )
    parser.add_argument(
        "--data_dir", type=Path, required=True, help="dump/raw/train: wav.scp"
    )
    parser.add_argument(
        "--spk_emb", help="spk_emb.scp for the decoder (default: not conditioned)"
    )
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--nj", type=int, default=1, help="processes of WORLD analysis")
    parser.add_argument("--max_steps", type=int, help="instead of the config's")
    add_device_option(parser)
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    import kaldiio
    import torch

    from espnet2_taste.io.config import read_training_config
    from espnet2_taste.io.model_folder import save_model
    from espnet2_taste.units.analysis import SAMPLES_PER_UNIT, analyse_all
    from espnet2_taste.units.cache import UnitCache
    from espnet2_taste.units.reading import WavDir, try_read
    from espnet2_taste.units.training import train_world_vq
    from espnet2_taste.units.world_vq import WorldVQ, WorldVQUnitExtractor
    from espnet2_taste.vocoder.griffin_lim import GriffinLimVocoder

    config = read_training_config(args.config)
    if args.max_steps:
        config["train_conf"]["max_steps"] = args.max_steps
    data = WavDir(args.data_dir, None, WorldVQUnitExtractor.sample_rate)
    spk_emb = None
    model_conf = dict(config["model_conf"], spk_embed_dim=0)
    if args.spk_emb:
        embeddings = dict(kaldiio.load_scp(args.spk_emb).items())
        spk_emb = {key: embeddings[key] for key in data.wavs if key in embeddings}
        if len(spk_emb) < len(data.wavs):
            logging.warning(
                "%d utterances have no speaker embedding and are not used",
                len(data.wavs) - len(spk_emb),
            )
        data.wavs = {key: data.wavs[key] for key in spk_emb}
        if spk_emb:
            model_conf["spk_embed_dim"] = len(next(iter(spk_emb.values())))
    config["model_conf"] = model_conf
    num_ceps = WorldVQ(**model_conf).num_ceps

    features = analyse_all(data.items(), num_ceps, args.nj)
    if not features:
        raise RuntimeError(f"{args.data_dir}: no utterance to train units on")
    model = train_world_vq(
        features, spk_emb, model_conf, device=args.device, **config["train_conf"]
    )

    extractor = WorldVQUnitExtractor(model)
    units = {}
    keys = sorted(features)
    for start in range(0, len(keys), 16):
        batch = keys[start : start + 16]
        encoded = extractor.encode_features([features[key] for key in batch])
        units.update(zip(batch, encoded, strict=True))
    used = len(torch.cat(list(units.values())).unique())
    logging.info("%d of %d units occur in training", used, model.num_units)

    count = config["griffin_lim_conf"]["num_utterances"]
    stride = max(1, len(keys) // count)  # spread over the speakers of a sorted list
    pairs = (
        (
            units[key],
            torch.from_numpy(
                try_read(data.wavs[key], key, WorldVQUnitExtractor.sample_rate)[0]
            ),
        )
        for key in keys[::stride]
    )
    GriffinLimVocoder.fit(pairs, model.num_units, SAMPLES_PER_UNIT).save(
        args.output_dir
    )
    UnitCache.write(args.output_dir, units, data.wavs)
    save_model(args.output_dir, model, config)
    logging.info("wrote %s", args.output_dir)


if __name__ == "__main__":
    run(main)
