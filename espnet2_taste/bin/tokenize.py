"""Tokenise a data directory: taste.scp, one flat (W * R) int32 array an utterance.

Also writes num_codebooks, codebook_size, rtf.json and, for ``--attention_keys``,
``attention/<utt>.npz`` (see :func:`save_attention`).
"""

import argparse
import json
import logging
import time
from pathlib import Path

import numpy as np

from espnet2_taste.bin import command, run
from espnet2_taste.bin.options import (
    add_batch_options,
    add_data_options,
    add_model_options,
)
from espnet2_taste.io.kaldi import (
    ArkWriter,
    check_keys,
    length_batches,
    read_table,
    read_wav,
    select_keys,
)


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_model_options(parser, "tokenizer")
    add_data_options(parser, "wav.scp text utt2num_samples")
    add_batch_options(parser)
    parser.add_argument(
        "--attention_keys", help="table of utterances whose attention is kept"
    )
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    from espnet2_taste.inference.speech_to_taste import SpeechToTaste

    wavs = select_keys(read_table(args.data_dir / "wav.scp"), args.key_file)
    texts = read_table(args.data_dir / "text")
    samples = read_table(args.data_dir / "utt2num_samples")
    for name, table in (("text", texts), ("utt2num_samples", samples)):
        check_keys(args.data_dir / name, table, wavs)
    tokenizer = SpeechToTaste(args.train_config, args.model_file, args.device)
    plots = set()
    if args.attention_keys:
        plots = wavs.keys() & read_table(args.attention_keys)
    codes, seconds, started = {}, 0.0, time.perf_counter()
    lengths = {key: int(samples[key]) for key in wavs}
    for number, keys in enumerate(length_batches(lengths, args.batch_size), 1):
        out = tokenizer.batch_tokenize(
            [read_wav(wavs[key], tokenizer.sample_rate) for key in keys],
            [texts[key] for key in keys],
            need_attention=bool(plots.intersection(keys)),
            names=keys,
        )
        for key, tokens in zip(keys, out, strict=True):
            codes[key] = tokens.codes.numpy().astype(np.int32).reshape(-1)
            seconds += tokens.duration
            if key in plots:
                save_attention(args.output_dir / "attention", key, tokens)
        if number % 20 == 0:
            logging.info("%d utterances tokenised", len(codes))
    wall = time.perf_counter() - started
    with ArkWriter(args.output_dir, "taste") as writer:
        for key in sorted(codes):
            writer[key] = codes[key]
    quantizer = tokenizer.model.quantizer
    (args.output_dir / "num_codebooks").write_text(f"{quantizer.num_codebooks}\n")
    (args.output_dir / "codebook_size").write_text(f"{quantizer.codebook_size}\n")
    rtf = {"tokenizer_rtf": wall / max(seconds, 1e-9), "seconds": seconds}
    (args.output_dir / "rtf.json").write_text(json.dumps(rtf))
    logging.info("%d utterances, %.4f x real time", len(codes), rtf["tokenizer_rtf"])


def save_attention(folder: Path, key: str, tokens) -> None:
    """``<key>.npz``: attention (W, F), words, frame_shift (seconds)."""
    folder.mkdir(parents=True, exist_ok=True)
    attention = tokens.attention.numpy()
    np.savez_compressed(
        folder / f"{key}.npz",
        attention=attention.astype(np.float16),
        words=np.array(tokens.words),
        frame_shift=tokens.duration / attention.shape[1],
    )


if __name__ == "__main__":
    run(main)
