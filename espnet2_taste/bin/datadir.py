"""Check and change Kaldi data directories (what recipes took from Kaldi's utils/)."""

import argparse
import logging
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.io import datadir
from espnet2_taste.io.shards import merge_shards


def get_parser() -> argparse.ArgumentParser:
    """Command-line options, one subcommand per action."""
    parser = argparse.ArgumentParser(description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)

    def action(name: str, description: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=description, description=description)

    for name, text in (
        ("validate", "fail with one line on the first thing wrong"),
        ("fix", "keep the utterances every file has, sorted; report the others"),
    ):
        action(name, text).add_argument("folder", type=Path, nargs="+")
    sub = action("subset", "copy some utterances")
    sub.add_argument("folder", type=Path)
    sub.add_argument("target", type=Path)
    sub.add_argument(
        "--allow_missing", action="store_true", help="skip ids the source lacks"
    )
    which = sub.add_mutually_exclusive_group(required=True)
    which.add_argument("--key_file", type=Path, help="ids, first on each line")
    which.add_argument("--first", type=int, help="this many, spread over the speakers")
    sub = action("combine", "join directories with disjoint ids")
    sub.add_argument("folder", type=Path, nargs="+")
    sub.add_argument("--target", type=Path, required=True)
    sub = action("merge", "outputs of sharded jobs, logdir/output.* -> folder")
    sub.add_argument("logdir", type=Path)
    sub.add_argument("folder", type=Path)
    sub.add_argument("name", nargs="*", help="e.g. units.scp words.ctm (default: all)")
    action("utt2spk_to_spk2utt", "to stdout").add_argument("file", type=Path)
    action("spk2utt_to_utt2spk", "to stdout").add_argument("file", type=Path)
    return parser


def choose_keys(args: argparse.Namespace) -> list[str]:
    """The ids that ``subset`` keeps."""
    utt2spk = datadir.read_lines(args.folder / "utt2spk")
    if args.key_file:
        keys = datadir.read_lines(args.key_file)
        return [k for k in keys if k in utt2spk or not args.allow_missing]
    step = max(1, len(utt2spk) / args.first)
    ids = sorted(utt2spk)
    return [ids[int(i * step)] for i in range(min(args.first, len(ids)))]


def execute(args: argparse.Namespace) -> None:
    """Do one action.

    Raises:
        ValueError, FileNotFoundError: with one line naming file, id and cure.
    """
    if args.action == "validate":
        for folder in args.folder:
            logging.info("%s: %d utterances, valid", folder, datadir.validate(folder))
    elif args.action == "fix":
        for folder in args.folder:
            dropped = datadir.fix(folder)
            for reason, count in dropped.items():
                logging.warning("%s: dropped %d utterances: %s", folder, count, reason)
    elif args.action == "subset":
        count = datadir.subset(args.folder, args.target, choose_keys(args))
        logging.info("%s: %d utterances", args.target, count)
    elif args.action == "combine":
        count = datadir.combine(args.folder, args.target)
        logging.info("%s: %d utterances", args.target, count)
    elif args.action == "merge":
        count = merge_shards(args.logdir, args.folder, args.name)
        logging.info("%s: %d utterances", args.folder, count)
    else:
        table = datadir.read_lines(args.file)
        convert = datadir.invert if args.action.startswith("utt") else datadir.expand
        for key, value in sorted(convert(table).items()):
            print(key, value)


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    execute(args)


if __name__ == "__main__":
    run(main)
