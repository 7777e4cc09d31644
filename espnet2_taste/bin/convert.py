"""Convert published weights to a packed model, or such a packed model back.

Published weights are a Hugging Face folder of TASTE (config.json, weights,
llama_tokenizer/, cosyvoice/), a CosyVoice folder (vocoder, ONNX files, and its LM to
start training from), a checkpoint of the reference's STAGE1_TRAIN (tokenizer and
speech decoder), or TASTE2's llm.pt (tokenizer and speech decoder) or slm.pt (those and
the spoken LM), beside which the LM's tokenizer/ may lie. The way back gives names,
shapes and dtypes as they were published, but not the weights that the reference never
uses.
"""

import argparse
import logging
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.io.atomic import new_folder


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("source", type=Path, help="published folder or file; or packed folder or zip")
    add("output", type=Path, nargs="?", help="new folder")
    add(
        "--config",
        type=Path,
        help="config.json, for a source without one; TASTE2: the LM's",
    )
    group = parser.add_argument_group("from published weights")
    add = group.add_argument
    add("--dry_run", action="store_true", help="check and print, write nothing")
    add(
        "--base_lm",
        help="hub id or folder of the base LM: its weights are left out, after a "
        "comparison if they are on this machine",
    )
    add("--whisper", help="the same for the Whisper model")
    add("--zip", action="store_true", help="also write <output>.zip, to be shared")
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    from espnet2_taste.io.models import locate, read_parts

    if args.output is None and not args.dry_run:
        raise ValueError("give an output folder, or --dry_run")
    packed = args.source
    if packed.suffix == ".zip":
        packed = locate(packed)
    if read_parts(packed):
        if args.dry_run or args.zip or args.base_lm or args.whisper:
            raise ValueError(f"{args.source} is a packed model: give --config alone")
        from espnet2_taste.hub.to_published import write_published

        write_published(packed, args.output, args.config)
    else:
        convert(args)


def convert(args: argparse.Namespace) -> None:
    """Published weights to a packed model."""
    from espnet2_taste.hub.base_models import leave_out
    from espnet2_taste.hub.from_published import mapping, write_packed
    from espnet2_taste.hub.pack import write_zip
    from espnet2_taste.hub.published import open_published

    source = open_published(args.source, args.config)
    if args.base_lm or args.whisper:
        leave_out(source.plan, source.checkpoint, args.base_lm, args.whisper)
    if args.dry_run:
        print(*mapping(source), sep="\n")
        return
    with new_folder(args.output) as folder:
        write_packed(source, folder, args.base_lm)
    if args.zip:
        write_zip(args.output, args.output.with_name(args.output.name + ".zip"))
    logging.info("%s is ready", args.output)


if __name__ == "__main__":
    run(main)
