"""Dialogues for a TASLM: a file of turns with audio -> what its training reads.

The turns are utterances like any others, whose codes the tokenizer makes::

    run="python -m espnet2_taste.bin"
    $run.prepare_corpus --layout dialogues --root dialogues.jsonl --output_dir turns
    $run.format_wav turns wavs
    $run.tokenize --model_file exp/taste_rvq --data_dir wavs --output_dir codes
    $run.dialogue join dialogues.jsonl wavs codes/taste.scp dialogues

``dialogues`` then has ``text`` (the turns of each dialogue) and ``taste.scp``. The
form of the file is that of :mod:`espnet2_taste.corpora.dialogues`; ``pair`` makes one
of two corpora.
"""

import argparse
import logging
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.numbers import positive, real, seed
from espnet2_taste.bin.options import add_segmenter_option


def get_parser() -> argparse.ArgumentParser:
    """Command-line options, one subcommand per action."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", required=True)

    def action(name: str, description: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=description, description=description)

    sub = action("pair", "utterances of two data directories, one asks, one answers")
    sub.add_argument("user", type=Path)
    sub.add_argument("assistant", type=Path)
    sub.add_argument("--output", type=Path, required=True, help="a .jsonl file")
    sub.add_argument("--turns", type=positive, default=4, help="of each dialogue, even")
    sub.add_argument(
        "--interrupted",
        type=real(0, 1),
        default=0.25,
        help="share of the answers, but for the last, that the user cuts",
    )
    sub.add_argument("--seed", type=seed, default=0)
    add_segmenter_option(sub)
    sub = action("join", "turns and their codes -> dialogues")
    sub.add_argument("dialogues", type=Path, help="the .jsonl file")
    sub.add_argument("turns", type=Path, help="data directory of its turns, with text")
    sub.add_argument("taste", type=Path, help="taste.scp of the turns")
    sub.add_argument("folder", type=Path, help="to write to")
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    if args.action == "pair":
        pair(args)
    else:
        join(args)


def pair(args: argparse.Namespace) -> None:
    """Write a file of dialogues."""
    import json

    from espnet2_taste.corpora import dialogues
    from espnet2_taste.io.atomic import write_lines
    from espnet2_taste.text.segmenters import SEGMENTERS

    if args.turns % 2:
        raise ValueError(f"--turns {args.turns}: an even number, for each is answered")
    made = dialogues.pair(
        args.user,
        args.assistant,
        SEGMENTERS[args.segmenter],
        args.turns,
        args.interrupted,
        args.seed,
    )
    lines = (json.dumps(dialogue, ensure_ascii=False) for dialogue in made)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    logging.info("%s: %d dialogues", args.output, write_lines(args.output, lines))


def join(args: argparse.Namespace) -> None:
    """Write a data directory of dialogues."""
    from espnet2_taste.corpora import dialogues
    from espnet2_taste.corpora.abs_corpus import Ledger
    from espnet2_taste.io.atomic import write_text
    from espnet2_taste.taste.taste_spec import TasteSpec

    skip = Ledger()
    spec = TasteSpec.beside(args.taste)
    count = dialogues.join(args.dialogues, args.turns, args.taste, args.folder, skip)
    write_text(args.folder / TasteSpec.FILE, spec.text())
    for line in skip.lines():
        logging.warning("%s: left out %s", args.folder, line)
    logging.info("%s: %d dialogues", args.folder, count)


if __name__ == "__main__":
    run(main)
