"""Write text and codes of speech while somebody speaks: a JSON line for some words.

Each line has ``text`` (those of all lines, one after the other, are what was said),
``words``, ``codes`` (a row per word or token), ``confidence`` of the text's tokens, and
``heard``, the seconds of speech after which it was known. Raw 16-bit mono little-endian
PCM at the tokenizer's rate comes from stdin, or a recording from a file:

arecord -q -t raw -f S16_LE -c 1 -r 16000 \\
    | python -m espnet2_taste.bin.listen --model_file exp/taste_ctc --input -

The model needs a CTC head and a streaming encoder (docs/streaming.md).
"""

import argparse
import json
import sys
from collections.abc import Iterator

from espnet2_taste.bin import command, run
from espnet2_taste.bin.numbers import real, seconds
from espnet2_taste.bin.options import add_model_options, add_weights_option


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_options(parser, "tokenizer")
    add_weights_option(parser)
    add = parser.add_argument
    add("--input", required=True, help="an audio file, or - for raw PCM on stdin")
    add("--chunk_s", type=real(0.01, 60), default=0.1, help="seconds read at a time")
    add(
        "--look_ahead_s",
        type=seconds,
        default=0.4,
        help="seconds after a word that its codes depend on",
    )
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    from espnet2_taste.inference.speech_to_taste import SpeechToTaste

    model = args.train_config, args.model_file, args.device
    options = {"weights": args.weights, "look_ahead_s": args.look_ahead_s}
    tokenizer = SpeechToTaste(*model, **options)
    stream, heard = tokenizer.open_stream(), 0.0
    print(
        f"latency {stream.latency:.2f} s, and {args.look_ahead_s:g} s after a word",
        file=sys.stderr,
    )
    for chunk in chunks_of(args.input, tokenizer.sample_rate, args.chunk_s):
        last = chunk is None
        tokens = stream.finish() if last else stream.push(chunk)
        heard += tokens.duration
        if tokens.words:
            line = {"text": tokens.text, "words": tokens.words}
            line |= {"codes": tokens.codes.tolist(), "confidence": tokens.confidence}
            line["heard"] = round(heard, 3)
            print(json.dumps(line, ensure_ascii=False), flush=True)


def chunks_of(path: str, sample_rate: int, chunk_s: float) -> Iterator:
    """(n,) waveforms, then None."""
    import numpy as np

    from espnet2_taste.io.audio import read_audio

    size = max(1, round(chunk_s * sample_rate))
    if path == "-":
        while data := sys.stdin.buffer.read(2 * size):
            yield np.frombuffer(data[: len(data) // 2 * 2], "<i2")
    else:
        wav = read_audio(path, path, sample_rate)
        yield from (wav[begin : begin + size] for begin in range(0, len(wav), size))
    yield None


if __name__ == "__main__":
    run(main)
