"""Extract frontend features once (``feats_type: extracted``): feats.scp, (T, D) rows.

A frontend without parameters gives the same features in every epoch and sub-stage.
"""

import argparse
import logging
from pathlib import Path

import numpy as np
import torch
import yaml

from espnet2_taste.bin import command, run
from espnet2_taste.bin.options import add_device_option
from espnet2_taste.io.kaldi import (
    ArkWriter,
    length_batches,
    read_table,
    read_wav,
    select_keys,
)
from espnet2_taste.nn.segments import length_mask

SAMPLE_RATE = 16000


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="of TASTE training")
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--key_file", help="utterances of this shard")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--batch_size", type=int, default=16)
    add_device_option(parser)
    return parser


@torch.inference_mode()
@command(get_parser)
def main(args: argparse.Namespace) -> None:
    from espnet2_taste.taste.build import frontend_choices

    conf = yaml.safe_load(args.config.read_text(encoding="utf-8"))
    frontend = frontend_choices.get_class(conf.get("frontend", "whisper_mel"))(
        **conf.get("frontend_conf", {})
    )
    frontend = frontend.to(args.device).eval()
    if any(True for _ in frontend.parameters()):
        raise ValueError(f"{args.config}: its frontend is trained; use feats_type raw")
    wavs = select_keys(read_table(args.data_dir / "wav.scp"), args.key_file)
    samples = read_table(args.data_dir / "utt2num_samples")
    batches = length_batches({key: int(samples[key]) for key in wavs}, args.batch_size)
    done = 0
    with ArkWriter(args.output_dir, "feats") as writer:
        for keys in batches:
            waves = [read_wav(wavs[key], SAMPLE_RATE) for key in keys]
            lengths = torch.tensor([len(wav) for wav in waves])
            speech = torch.zeros(len(waves), int(lengths.max()))
            speech[length_mask(lengths)] = torch.from_numpy(np.concatenate(waves))
            feats, feats_lengths = frontend(
                speech.to(args.device), lengths.to(args.device)
            )
            for key, row, length in zip(
                keys, feats.cpu().numpy(), feats_lengths.tolist(), strict=True
            ):
                writer[key] = row[:length]
            done += len(keys)
            if done % 800 < args.batch_size or done == len(wavs):
                logging.info("%d/%d utterances", done, len(wavs))


if __name__ == "__main__":
    run(main)
