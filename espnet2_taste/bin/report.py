"""Write RESULTS.md and a self-contained HTML report from scored test sets.

RESULTS.md has a section per test set of ``--score_dirs``. The first set's page is
``--html``; those of the others lie beside it, ``<html>_<set>.html``, and every page
links to them. Reads what ``bin.score`` left in the folders (results, statistics, word
times, F0, where the rows' audio is), attention maps ``<utt>.npz`` (``attention``
(W, F), ``words``, ``frame_shift``), and of ESPnet experiment directories the training
logs and ``att_ws/<utt>/<epoch>ep.png``.
"""

import argparse
import logging
from pathlib import Path

import numpy as np

from espnet2_taste.bin import command, run
from espnet2_taste.bin.numbers import count
from espnet2_taste.bin.options import named_folders
from espnet2_taste.evaluate.report.listen import Clip, Utterance, encode_audio
from espnet2_taste.evaluate.report.page import Report, build_page
from espnet2_taste.evaluate.report.results_md import environment, results_markdown
from espnet2_taste.evaluate.report.training import Training
from espnet2_taste.evaluate.report.worst import (
    WorstList,
    first_seeds,
    worst_lists,
    wrong_answers,
)
from espnet2_taste.evaluate.score_folder import ScoreFolder
from espnet2_taste.evaluate.scorers.measure import read_measures
from espnet2_taste.evaluate.scorers.rows import Row
from espnet2_taste.io.atomic import write_text
from espnet2_taste.io.file_names import key_of
from espnet2_taste.io.tables import read_table


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add(
        "--score_dirs",
        nargs="+",
        required=True,
        metavar="SET=DIR",
        help="test sets, each with the output_dir of its bin.score",
    )
    add("--attention_dir", type=Path, help="searched for attention/<utt>.npz")
    add("--exp_dirs", nargs="*", default=[], help="name=folder with train.log ...")
    add("--title", default="TASTE")
    add("--commands", nargs="*", default=[], help="shell lines that made the results")
    add("--num_utterances", type=count, default=12, help="to listen to")
    add("--num_worst", type=count, default=5, help="per row and metric, with audio")
    add("--results", type=Path, required=True, help="RESULTS.md to write")
    add("--html", type=Path, required=True, help="HTML report to write")
    return parser


def choose(ids: list[str], preferred: set[str], count: int) -> list[str]:
    """``count`` ids at even steps, of those preferred if there are enough."""
    first = [utt for utt in ids if utt in preferred]
    if len(first) >= count:
        return _even_steps(first, count)
    rest = [utt for utt in ids if utt not in preferred]
    return sorted([*first, *_even_steps(rest, count - len(first))])


def _even_steps(ids: list[str], count: int) -> list[str]:
    steps = np.linspace(0, len(ids) - 1, min(count, len(ids)))
    return [ids[i] for i in steps.round().astype(int)]


def find_attention(folder: Path | None) -> dict[str, Path]:
    """utt -> npz in ``folder/attention`` or in that of its shards."""
    if folder is None:
        return {}
    folders = sorted(folder.glob("**/attention"))
    return {
        key_of(path.relative_to(attention).as_posix(), ".npz"): path
        for attention in folders
        for path in sorted(attention.glob("**/*.npz"))
    }


def read_attention(path: Path) -> tuple[np.ndarray, list[str], float]:
    """(W, F) attention, W words, frame shift in s."""
    with np.load(path, allow_pickle=False) as content:
        words = [str(word) for word in content["words"]]
        attention = content["attention"].astype(np.float32)
        return attention, words, float(content["frame_shift"])


def collect_utterances(
    scores: ScoreFolder,
    attention: dict[str, Path],
    worst: list[WorstList],
    count: int,
) -> list[Utterance]:
    """The sample, with every row's first seed, and the worst, with the rows concerned.

    The original is always there to compare with.
    """
    folders = scores.results.get("folders", {})
    if not folders:
        return []
    text = read_table(Path(scores.results["ref_dir"]) / "text", allow_empty=True)
    chosen = choose(sorted(text), set(attention), count)
    wanted: dict[str, set[str]] = {utt: set() for utt in chosen}
    for one in worst:
        for utt, _ in one.items:
            wanted.setdefault(utt, set()).add(one.key)
    utterances = {
        utt: Utterance(utt, text[utt], sample=utt in chosen) for utt in wanted
    }
    recognised = {key for _, key, metric in scores.statistics if metric == "wer"}
    for number, (key, folder) in enumerate(first_seeds(folders).items()):
        wavs = read_table(Row(key, "", Path(folder)).wav_scp, allow_empty=True)
        measures = read_measures(scores.path / "measures", key)
        for utt, utterance in utterances.items():
            shown = number == 0 or utterance.sample or key in wanted[utt]
            if not shown or utt not in wavs:
                continue
            try:
                audio = encode_audio(wavs[utt], utt)
            except (ValueError, FileNotFoundError) as error:
                logging.warning("row %s: %s", key, error)
                continue
            line = scores.utterances.get(key, {}).get(utt, {})
            words = line.get("text", text[utt])
            heard = line.get("recognised") if key in recognised else None
            clip = Clip(key, audio, words, heard, measures.get(utt))
            utterance.clips.append(clip)
    for utt, path in attention.items():
        if utt in utterances:
            utterances[utt].attention = read_attention(path)
    return list(utterances.values())


def read_experiments(items: list[str]) -> dict[str, Training]:
    """``name=folder`` items -> what there is of their training."""
    experiments = {}
    for name, folder in named_folders("--exp_dirs", items).items():
        experiments[name] = Training.read(folder)
        if not experiments[name].curves:
            logging.warning("%s: no epoch in train*.log, no curves", folder)
    return experiments


def report(args: argparse.Namespace) -> None:
    """Write RESULTS.md and a page per test set."""
    folders = named_folders("--score_dirs", args.score_dirs)
    sets = {name: ScoreFolder.read(folder) for name, folder in folders.items()}
    experiments = read_experiments(args.exp_dirs)
    env = environment()
    results = {name: scores.results for name, scores in sets.items()}
    contents = {args.results: results_markdown(results, args.title, env, args.commands)}
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
                env=env,
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
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, content)
        logging.info("wrote %s (%.1f MB)", path, len(content) / 1e6)


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    report(args)


if __name__ == "__main__":
    run(main)
