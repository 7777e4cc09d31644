"""Make a data directory of a public test set of spoken language models.

Writes wav.scp, utt2spk, spk2utt, ``text`` where the set has transcripts (the others:
bin.transcribe), and ``pairs`` (likelihood tests: id, task, positive, negative, item) or
``answers.jsonl`` (questions). Ids start with ``--name``.
"""

import argparse
import logging
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.evaluate.testsets.files import write_testset
from espnet2_taste.evaluate.testsets.layouts import LAYOUTS, read_layout


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--layout", required=True, choices=list(LAYOUTS))
    add("--root", type=Path, required=True, help="folder of the set as published")
    add("--output_dir", type=Path, required=True)
    add("--name", help="prefix of the ids (default: the name of --output_dir)")
    add("--split", default="dev", choices=["dev", "test"], help="of swuggy and sblimp")
    add("--no_text", action="store_true", help="leave known transcripts out")
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    if not args.root.is_dir():
        raise FileNotFoundError(f"--root {args.root} is no folder")
    found = read_layout(args.layout, args.root, args.split)
    if args.no_text:
        found.text = {}
    for reason, ids in found.skipped.items():
        logging.warning(
            "%s: left out %d (%s): %s", args.root, len(ids), reason, ", ".join(ids[:3])
        )
    name = args.name or args.output_dir.resolve().name
    write_testset(found, args.output_dir, name)
    tasks = {pair.task for pair in found.pairs}
    logging.info(
        "%s: %d utterances, %d with transcript; %d pairs of %d tasks, %d questions",
        args.output_dir,
        len(found.wavs),
        len(found.text),
        len(found.pairs),
        len(tasks),
        len(found.answers),
    )


if __name__ == "__main__":
    run(main)
