"""Tokenise a data directory: taste.scp, one flat (S * R) int32 array an utterance.

Also writes taste_spec.yaml, rtf.json and, for ``--attention_keys``,
``attention/<utt>.npz``: attention (W, F), words, and frame_shift in seconds. With
``--heard`` no text is read: the model's CTC head hears it; writes text (an utterance in
which nothing is said is skipped) and confidence.jsonl, the probability of each token.
"""

import argparse

from espnet2_taste.bin import command, run
from espnet2_taste.bin.numbers import positive, seconds
from espnet2_taste.bin.options import (
    add_batch_options,
    add_data_options,
    add_model_options,
    add_weights_option,
)


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_model_options(parser, "tokenizer")
    add_data_options(parser, "wav.scp [text] utt2num_samples")
    add_batch_options(parser)
    add_weights_option(parser)
    parser.add_argument("--heard", action="store_true", help="text by the model itself")
    parser.add_argument(
        "--beam", type=positive, default=1, help="prefixes of its search; 1: greedy"
    )
    parser.add_argument(
        "--look_ahead_s",
        type=seconds,
        help="with --heard: seconds after a word that its codes depend on, as those of "
        "a stream (default: the whole utterance)",
    )
    parser.add_argument(
        "--attention_keys", help="table of utterances whose attention is kept"
    )
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    import numpy as np

    from espnet2_taste.inference.speech_to_taste import SpeechToTaste
    from espnet2_taste.io.file_names import file_name
    from espnet2_taste.io.shards import Shard
    from espnet2_taste.io.tables import read_table
    from espnet2_taste.io.wav_dir import WavDir
    from espnet2_taste.taste.taste_spec import TasteSpec
    from espnet2_taste.text.spelling import skip_unspelled

    if args.look_ahead_s is not None and not args.heard:
        raise ValueError("--look_ahead_s is for --heard: a given text has no times")
    data = WavDir(args.data_dir, args.key_file)
    texts, lengths = {} if args.heard else data.table("text"), data.lengths()
    plots = set()
    if args.attention_keys:
        plots = set(read_table(args.attention_keys, keys=texts))
    tables = ["text", "confidence.jsonl"] * args.heard
    shard = Shard(args, arks=["taste"], tables=tables, folders=["attention"])
    if shard.done:
        return
    model = args.train_config, args.model_file, args.device
    options = {"beam": args.beam, "look_ahead_s": args.look_ahead_s}
    tokenizer = SpeechToTaste(*model, weights=args.weights, **options)
    shard.files[TasteSpec.FILE] = tokenizer.preprocess.spec.text()
    for keys in shard.batches(lengths, data.ahead(tokenizer.sample_rate)):
        if not args.heard:
            keys = skip_unspelled(keys, texts, tokenizer.preprocess, shard)
        wavs = data.read(keys, tokenizer.sample_rate, shard)
        if not wavs:
            continue
        with shard.clock("tokenizer"):
            out = tokenizer.batch_tokenize(
                list(wavs.values()),
                None if args.heard else [texts[key] for key in wavs],
                need_attention=bool(plots.intersection(wavs)),
                names=list(wavs),
            )
        for key, tokens in zip(wavs, out, strict=True):
            codes = tokens.codes.numpy().astype(np.int32).reshape(-1)
            row = {"taste": codes}
            if args.heard:
                if not tokens.text:
                    shard.skip(key, "no speech was heard")
                    continue
                row["text"] = tokens.text
                row["confidence.jsonl"] = {"confidence": tokens.confidence}
            shard.write(key, row, audio_s=tokens.duration)
            if key in plots:
                path = args.output_dir / "attention" / file_name(key, ".npz")
                tokens.save_attention(path)


if __name__ == "__main__":
    run(main)
