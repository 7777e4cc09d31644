"""Train the tiny x-vector speaker encoder (no pretrained weights)."""

import argparse
import logging
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.options import add_device_option


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--config", type=Path, required=True, help="YAML: model_conf, train_conf"
    )
    parser.add_argument(
        "--data_dir", type=Path, required=True, help="dump/raw/train: wav.scp, utt2spk"
    )
    parser.add_argument(
        "--output_dir", type=Path, required=True, help="gets config.yaml, model.pth"
    )
    parser.add_argument("--max_steps", type=int, help="instead of the config's")
    add_device_option(parser)
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    from espnet2_taste.io.config import read_training_config
    from espnet2_taste.io.model_folder import save_model
    from espnet2_taste.speaker.training import train_xvector

    config = read_training_config(args.config)
    if args.max_steps:
        config["train_conf"]["max_steps"] = args.max_steps
    model = train_xvector(
        args.data_dir,
        config["model_conf"],
        device=args.device,
        **config["train_conf"],
    )
    save_model(args.output_dir, model, config)
    logging.info("wrote %s", args.output_dir)


if __name__ == "__main__":
    run(main)
