"""Speech units + speaker embeddings -> PCM16 waves, wav.scp and rtf.json."""

import argparse
import logging
import time

from espnet2_taste.bin import command, run
from espnet2_taste.bin.options import (
    add_batch_options,
    add_data_options,
    add_device_option,
    add_vocoder_options,
    load_vocoder_option,
)


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_vocoder_options(parser, required=True)
    add_data_options(parser, "text, copied if present")
    parser.add_argument("--units", required=True, help="units.scp")
    parser.add_argument("--spk_emb", required=True, help="spk_emb.scp")
    add_batch_options(parser, 16)
    add_device_option(parser)
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    import kaldiio
    import numpy as np
    import torch

    from espnet2_taste.io.kaldi import (
        read_table,
        select_keys,
        write_table,
        write_wav,
    )
    from espnet2_taste.units.reading import write_rtf

    vocoder = load_vocoder_option(args)
    keys = sorted(select_keys(read_table(args.units), args.key_file))
    all_units = kaldiio.load_scp(args.units)
    all_embeddings = kaldiio.load_scp(args.spk_emb)
    missing = [key for key in keys if key not in all_embeddings]
    if missing:
        raise ValueError(f"{args.spk_emb}: {missing[0]} of {args.units} is missing")
    folder = args.output_dir / "wav"
    wavs: dict[str, str] = {}
    seconds, audio = 0.0, 0.0
    for first in range(0, len(keys), args.batch_size):
        batch = keys[first : first + args.batch_size]
        units = [torch.from_numpy(all_units[key].astype(np.int64)) for key in batch]
        embeddings = torch.from_numpy(np.stack([all_embeddings[key] for key in batch]))
        start = time.perf_counter()
        results = vocoder(units, embeddings)
        seconds += time.perf_counter() - start
        for key, wav in zip(batch, results, strict=True):
            audio += len(wav) / vocoder.sample_rate
            wavs[key] = str(folder / f"{key}.wav")
            write_wav(wavs[key], wav.numpy(), vocoder.sample_rate)
        logging.info("%d of %d utterances", len(wavs), len(keys))
    text = args.data_dir / "text"
    if text.is_file():
        texts = read_table(text)
        write_table(
            args.output_dir / "text", {key: texts[key] for key in keys if key in texts}
        )
    write_rtf(args.output_dir, "vocoder_rtf", seconds, audio)
    write_table(args.output_dir / "wav.scp", wavs)


if __name__ == "__main__":
    run(main)
