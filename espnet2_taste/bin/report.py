"""Write RESULTS.md and a self-contained HTML report from scored test sets.

RESULTS.md has a section per test set of ``--score_dirs``. The first set's page is
``--html``; those of the others lie beside it, ``<html>_<set>.html``, and every page
links to them. Reads what ``bin.score`` left in the folders (results, statistics, word
times, F0, where the rows' audio is), attention maps ``<utt>.npz`` (``attention``
(W, F), ``words``), and of ESPnet experiment directories the pictures
``images/loss*.png`` and ``att_ws/<utt>/<epoch>ep.png``.
"""

import argparse
import logging
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.numbers import count
from espnet2_taste.bin.options import named_folders
from espnet2_taste.evaluate.report.listen import (
    collect_utterances,
    find_attention,
    worst_lists,
    wrong_answers,
)
from espnet2_taste.evaluate.report.page import Report, build_page
from espnet2_taste.evaluate.report.results_md import results_markdown
from espnet2_taste.evaluate.report.training import Training
from espnet2_taste.evaluate.score_folder import ScoreFolder
from espnet2_taste.io.atomic import write_text


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], fromfile_prefix_chars="@"
    )
    add = parser.add_argument
    add(
        "--score_dirs",
        nargs="+",
        required=True,
        metavar="SET=DIR",
        help="test sets, each with the output_dir of its bin.score",
    )
    add("--attention_dir", type=Path, help="searched for attention/<utt>.npz")
    add("--exp_dirs", nargs="*", default=[], help="name=folder with images, att_ws ...")
    add("--title", default="TASTE")
    add("--commands", nargs="*", default=[], help="shell lines that made the results")
    add("--num_utterances", type=count, default=12, help="to listen to")
    add("--num_worst", type=count, default=5, help="per row and metric, with audio")
    add("--results", type=Path, required=True, help="RESULTS.md to write")
    add("--html", type=Path, required=True, help="HTML report to write")
    return parser


def options(args: argparse.Namespace) -> str:
    """The options, one word a line: ``bin.report @report.args`` does the same again."""
    words = []
    for name, value in vars(args).items():
        if value is not None:
            values = value if isinstance(value, list) else [value]
            words += [f"--{name}", *map(str, values)]
    return "".join(word.replace("\n", " ") + "\n" for word in words)


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    folders = named_folders("--score_dirs", args.score_dirs)
    sets = {name: ScoreFolder.read(folder) for name, folder in folders.items()}
    experiments = {
        name: Training.read(folder)
        for name, folder in named_folders("--exp_dirs", args.exp_dirs).items()
    }
    results = {name: scores.results for name, scores in sets.items()}
    contents = {args.results: results_markdown(results, args.title, args.commands)}
    attention = find_attention(args.attention_dir)
    html = args.html
    pages = dict.fromkeys(sets, html)  # the first one's
    for name in list(sets)[1:]:
        pages[name] = html.with_name(f"{html.stem}_{name}{html.suffix}")
    for name, scores in sets.items():
        worst = worst_lists(scores, args.num_worst)
        contents[pages[name]] = build_page(
            Report(
                title=args.title if len(sets) == 1 else f"{args.title}: {name}",
                results=scores.results,
                commands=args.commands,
                utterances=collect_utterances(
                    scores, attention, worst, args.num_utterances
                ),
                worst=worst,
                wrong=wrong_answers(scores, 4 * args.num_worst),
                training=experiments,
                others={n: p.name for n, p in pages.items() if n != name},
            )
        )
    contents[html.with_suffix(".args")] = options(args)
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, content)
        logging.info("wrote %s (%.1f MB)", path, len(content) / 1e6)


if __name__ == "__main__":
    run(main)
