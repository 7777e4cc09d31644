"""Tokenise a data directory: taste.scp, one flat (S * R) int32 array an utterance.

Also writes taste_spec.yaml, rtf.json and, for ``--attention_keys``,
``attention/<utt>.npz``: attention (W, F), words, and frame_shift in seconds.
"""

import argparse

from espnet2_taste.bin import command, run
from espnet2_taste.bin.options import (
    add_batch_options,
    add_data_options,
    add_model_options,
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
    import numpy as np

    from espnet2_taste.inference.speech_to_taste import SpeechToTaste
    from espnet2_taste.io.audio import read_audio
    from espnet2_taste.io.file_names import file_name
    from espnet2_taste.io.shards import Shard
    from espnet2_taste.io.tables import check_keys, read_table, select_keys
    from espnet2_taste.taste.taste_spec import TasteSpec

    wavs = select_keys(read_table(args.data_dir / "wav.scp"), args.key_file)
    texts = read_table(args.data_dir / "text")
    samples = read_table(args.data_dir / "utt2num_samples")
    for name, table in (("text", texts), ("utt2num_samples", samples)):
        check_keys(args.data_dir / name, table, wavs)
    plots = set()
    if args.attention_keys:
        plots = wavs.keys() & read_table(args.attention_keys)
    shard = Shard(args, arks=["taste"], folders=["attention"])
    if shard.done:
        return
    tokenizer = SpeechToTaste(args.train_config, args.model_file, args.device)
    shard.files[TasteSpec.FILE] = TasteSpec.of(tokenizer.model).text()
    for keys in shard.batches({key: int(samples[key]) for key in wavs}):
        waves = [
            read_audio(wavs[key], key, tokenizer.sample_rate, int(samples[key]))
            for key in keys
        ]
        with shard.clock("tokenizer"):
            out = tokenizer.batch_tokenize(
                waves,
                [texts[key] for key in keys],
                need_attention=bool(plots.intersection(keys)),
                names=keys,
            )
        for key, tokens in zip(keys, out, strict=True):
            codes = tokens.codes.numpy().astype(np.int32).reshape(-1)
            shard.write(key, {"taste": codes}, audio_s=tokens.duration)
            if key in plots:
                path = args.output_dir / "attention" / file_name(key, ".npz")
                tokens.save_attention(path)


if __name__ == "__main__":
    run(main)
