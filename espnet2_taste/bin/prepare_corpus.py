"""Make a Kaldi data directory of a speech corpus as it is published.

Writes wav.scp, text, utt2spk, spk2utt (segments, utt2dur where the corpus says lengths)
and ``skipped``: what was left out, and why. No audio is opened where the corpus's own
tables are enough. With ``--root downloads`` what is missing there is downloaded first,
where the licence allows that.
"""

import argparse
import logging
import re
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.numbers import positive, real, seed
from espnet2_taste.bin.options import add_part_type
from espnet2_taste.corpora import layout_choices
from espnet2_taste.io.class_conf import check_conf
from espnet2_taste.text.cleaners import TEXT_CLEANERS

#: ``--root`` that is filled by downloading.
DOWNLOADS = "downloads"
#: ``user/name``, or the address of that page.
HUB_ID = re.compile(r"(?:.*://.*datasets/)?([\w-][\w.-]*/[\w-][\w.-]*)")


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add_part_type(parser, "--layout", layout_choices, "--layout_conf", required=True)
    add("--root", required=True, help="folder of the corpus, or 'downloads'")
    add("--parts", nargs="+", default=[], help="of the corpus, e.g. dev-clean")
    add("--output_dir", type=Path, required=True, help="is replaced when all is read")
    cleaners = "; ".join(f"{name}: {what}" for name, what in TEXT_CLEANERS.items())
    add("--cleaner", default="none", choices=list(TEXT_CLEANERS), help=cleaners)
    add("--no_text", action="store_true", help="text may lack: bin.transcribe follows")
    add("--num_utts", type=positive, help="at most so many, chosen at random")
    add(
        "--max_hours",
        type=real(0, 1e7, above=True),
        help="at most so much, chosen at random",
    )
    add("--seed", type=seed, default=0, help="of the choice")
    add("--mirror", help="address of a folder with the archives (with downloads)")
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    from espnet2_taste.corpora.downloads import fetch_corpus
    from espnet2_taste.corpora.prepare import Limits, prepare
    from espnet2_taste.text.cleaners import text_cleaner

    reader = layout_choices.get_class(args.layout)
    check_conf(f"layout {args.layout}", reader, args.layout_conf)
    if not args.root:
        raise ValueError(f"--root is empty: where is {args.layout}? (see db.sh)")
    if args.root == DOWNLOADS:
        if not reader.downloads:
            raise ValueError(f"{args.layout} has to be asked for: give its folder")
        args.root = fetch_corpus(
            reader.downloads, args.parts, Path(args.root), args.mirror
        )
    if not Path(args.root).exists():
        hint = ""
        if not reader.downloads and (hub := HUB_ID.fullmatch(args.root)):
            hint = (
                f"; a data set of Hugging Face: hf download {hub[1]} --repo-type "
                "dataset --local-dir <folder>, and --root <folder>"
            )
        raise FileNotFoundError(f"--root {args.root} is not there{hint}")
    corpus = reader(**args.layout_conf)
    corpus.text_optional = args.no_text
    summary = prepare(
        corpus,
        Path(args.root),
        args.parts,
        args.output_dir,
        text_cleaner(args.cleaner),
        Limits(args.num_utts, args.max_hours, args.seed),
    )
    for line in corpus.skip.lines():
        logging.warning("%s: left out %s", args.output_dir, line)
    for line in corpus.note.lines():
        logging.warning("%s: note: %s", args.output_dir, line)
    logging.info(
        "%s: %d utterances%s, %d speakers, %d characters, %d left out",
        args.output_dir,
        summary.utterances,
        f" ({summary.hours:.2f} h of {summary.timed})" if summary.timed else "",
        summary.speakers,
        summary.characters,
        sum(summary.dropped.values()),
    )


if __name__ == "__main__":
    run(main)
