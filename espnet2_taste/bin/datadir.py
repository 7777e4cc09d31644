"""Check and change Kaldi data directories (what recipes took from Kaldi's utils/)."""

import argparse
import logging
import random
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.numbers import positive
from espnet2_taste.bin.options import add_segmenter_option
from espnet2_taste.io import datadir
from espnet2_taste.io.datadir_check import validate
from espnet2_taste.io.merged_shards import merge_shards
from espnet2_taste.io.sorted_tables import sorted_entries
from espnet2_taste.io.tables import read_table

#: How ``subset`` takes N.
CHOICES = {
    "spread": "N utterances at even steps",
    "first": "the first N utterances",
    "last": "the last N utterances",
    "shortest": "the N shortest, by utt2num_samples or utt2dur",
    "per_spk": "at most N utterances of each speaker, at even steps",
    "speakers": "all utterances of speakers at random, until there are N",
}


def get_parser() -> argparse.ArgumentParser:
    """Command-line options, one subcommand per action."""
    parser = argparse.ArgumentParser(description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)

    def action(name: str, description: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=description, description=description)

    sub = action("validate", "fail with one line on the first thing wrong")
    sub.add_argument("folder", type=Path, nargs="+")
    sub.add_argument("--no_text", action="store_true", help="text may lack")
    sub = action("disjoint", "fail if test sets have what a training set has")
    sub.add_argument("folder", type=Path, help="the training set")
    sub.add_argument("test", type=Path, nargs="+")
    sub.add_argument("--shared_speakers", action="store_true", help="speakers may be")
    sub.add_argument("--sentences", action="store_true", help="sentences may not be")
    sub = action("fix", "keep the utterances every file has, sorted; report the others")
    sub.add_argument("folder", type=Path, nargs="+")
    sub.add_argument(
        "--spelled_by",
        action="append",
        default=[],
        metavar="CONFIG|MODEL",
        help="training configuration, or model, whose vocabularies have all words",
    )
    sub.add_argument("--bpe_model", help="of a configuration that names no other")
    add_segmenter_option(sub)
    sub = action("subset", "copy some utterances")
    sub.add_argument("folder", type=Path)
    sub.add_argument("target", type=Path)
    sub.add_argument(
        "--allow_missing", action="store_true", help="skip ids the source lacks"
    )
    which = sub.add_mutually_exclusive_group(required=True)
    which.add_argument("--key_file", type=Path, help="ids, first on each line")
    which.add_argument("--spk_list", type=Path, help="all of these speakers")
    for name, what in CHOICES.items():
        which.add_argument(f"--{name}", type=positive, metavar="N", help=what)
    sub = action("copy", "copy all, with names changed")
    sub.add_argument("folder", type=Path)
    sub.add_argument("target", type=Path)
    for name in ("utt_prefix", "utt_suffix", "spk_prefix", "spk_suffix"):
        sub.add_argument(f"--{name}", default="")
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
    utt2spk = read_table(args.folder / "utt2spk")
    if args.key_file:
        keys = read_table(args.key_file, allow_empty=True)
        return [k for k in keys if k in utt2spk or not args.allow_missing]
    if args.spk_list:
        wanted = read_table(args.spk_list, allow_empty=True)
        return [key for key, speaker in utt2spk.items() if speaker in wanted]
    ids = sorted(utt2spk)
    if args.first or args.last:
        return ids[: args.first] if args.first else ids[-args.last :]
    if args.shortest:
        return by_length(args.folder)[: args.shortest]
    if args.spread:
        return spread(ids, args.spread)
    utts = {k: v.split() for k, v in datadir.invert(utt2spk).items()}
    if args.per_spk:
        return [key for own in utts.values() for key in spread(own, args.per_spk)]
    keys: list[str] = []
    speakers = list(utts)
    random.Random(0).shuffle(speakers)
    for speaker in speakers:
        keys += utts[speaker] if len(keys) < args.speakers else []
    return keys[: args.speakers]


def spread(ids: list[str], count: int) -> list[str]:
    """At most ``count`` of the ids, at even steps."""
    step = max(1, len(ids) / count)
    return [ids[int(i * step)] for i in range(min(count, len(ids)))]


def by_length(folder: Path) -> list[str]:
    """Ids, shortest first.

    Raises:
        FileNotFoundError: no table of lengths.
    """
    for name in ("utt2num_samples", "utt2dur"):
        if (folder / name).is_file():
            lengths = read_table(folder / name, parse=float)
            return sorted(lengths, key=lengths.get)
    raise FileNotFoundError(f"{folder} has no utt2num_samples and no utt2dur")


def unspelled(folder: Path, args: argparse.Namespace) -> dict[str, list[str]]:
    """What ``--spelled_by`` drops, each utterance logged."""
    if not args.spelled_by:
        return {}
    from espnet2_taste.io.config import read_training_config
    from espnet2_taste.io.models import find_part
    from espnet2_taste.text.spelling import find_unspelled

    configurations = []
    for source in args.spelled_by:
        part = None if source.endswith(".yaml") else find_part(source, "taste")
        config = source if part is None else f"{part[1]}/config.yaml"
        configurations.append(read_training_config(config))
    text = sorted_entries(folder / "text", allow_empty=True)
    found = find_unspelled(text, configurations, args.bpe_model, args.segmenter)
    for utt, reason in found.items():
        logging.warning("%s: dropped: %s", utt, reason)
    return {"a word that the vocabulary cannot write": list(found)}


def execute(args: argparse.Namespace) -> None:
    """Do one action.

    Raises:
        ValueError, FileNotFoundError: with one line naming file, id and cure.
    """
    if args.action == "validate":
        for folder in args.folder:
            logging.info(
                "%s: %d utterances, valid",
                folder,
                validate(folder, not args.no_text),
            )
    elif args.action == "disjoint":
        from espnet2_taste.corpora.overlap import check_disjoint

        for test in args.test:
            allowed = args.shared_speakers, args.sentences
            check_disjoint(args.folder, test, *allowed)
    elif args.action == "fix":
        for folder in args.folder:
            dropped = datadir.fix(folder, unspelled(folder, args))
            for reason, count in dropped.items():
                logging.warning("%s: dropped %d utterances: %s", folder, count, reason)
    elif args.action == "subset":
        count = datadir.subset(args.folder, args.target, choose_keys(args))
        logging.info("%s: %d utterances", args.target, count)
    elif args.action == "copy":
        utt, spk = (
            (args.utt_prefix, args.utt_suffix),
            (args.spk_prefix, args.spk_suffix),
        )
        count = datadir.copy(args.folder, args.target, utt, spk)
        logging.info("%s: %d utterances", args.target, count)
    elif args.action == "combine":
        count = datadir.combine(args.folder, args.target)
        logging.info("%s: %d utterances", args.target, count)
    elif args.action == "merge":
        count = merge_shards(args.logdir, args.folder, args.name)
        logging.info("%s: %d utterances", args.folder, count)
    else:
        table = read_table(args.file)
        convert = datadir.invert if args.action.startswith("utt") else datadir.expand
        for key, value in sorted(convert(table).items()):
            print(key, value)


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    execute(args)


if __name__ == "__main__":
    run(main)
