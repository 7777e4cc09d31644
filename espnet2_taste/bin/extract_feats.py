"""Extract frontend features once (``feats_type: extracted``): feats.scp, (T, D) rows.

A frontend without parameters gives the same features in every epoch and sub-stage.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from espnet2_taste.bin import command, run
from espnet2_taste.bin.options import (
    add_batch_options,
    add_data_options,
    add_device_option,
)
from espnet2_taste.io.config import read_training_config
from espnet2_taste.io.shards import Shard
from espnet2_taste.io.values import NO_NUMBERS, only_numbers
from espnet2_taste.io.wav_dir import WavDir
from espnet2_taste.nn.segments import length_mask


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="of TASTE training")
    add_data_options(parser, "wav.scp utt2num_samples")
    add_batch_options(parser, batch_size=16)
    add_device_option(parser)
    return parser


@command(get_parser)
@torch.inference_mode()
def main(args: argparse.Namespace) -> None:
    from espnet2_taste.taste.build import frontend_choices, frontend_rate

    shard = Shard(args, arks=["feats"])
    if shard.done:
        return
    conf = read_training_config(args.config)
    name, frontend_conf = conf.get("frontend", "whisper_mel"), conf.get("frontend_conf")
    frontend = frontend_choices.get_class(name)(**(frontend_conf or {}))
    rate = frontend_rate(name, frontend_conf or {})
    frontend = frontend.to(args.device).eval()
    if any(True for _ in frontend.parameters()):
        raise ValueError(f"{args.config}: its frontend is trained; use feats_type raw")
    data = WavDir(args.data_dir, args.key_file)
    for keys in shard.batches(data.lengths(), data.ahead(rate)):
        wavs = data.read(keys, rate, shard)
        if not wavs:
            continue
        waves = list(wavs.values())
        lengths = torch.tensor([len(wav) for wav in waves])
        speech = torch.zeros(len(waves), int(lengths.max()))
        speech[length_mask(lengths)] = torch.from_numpy(np.concatenate(waves))
        feats, feats_lengths = frontend(speech.to(args.device), lengths.to(args.device))
        if feats.shape[1] > max(feats_lengths):
            raise ValueError(
                f"{args.config}: its frontend pads (pad_to_30s) and the encoder reads "
                "the padding, which stored features have not: use feats_type raw"
            )
        rows = zip(wavs, feats.cpu().numpy(), feats_lengths.tolist(), strict=True)
        for key, row, length in rows:
            if only_numbers(row[:length]):
                shard.write(key, {"feats": row[:length]})
            else:
                shard.skip(key, f"its features hold {NO_NUMBERS}")


if __name__ == "__main__":
    run(main)
