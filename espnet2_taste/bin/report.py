"""Write RESULTS.md and a self-contained HTML report from a scored experiment.

Reads what ``bin.score`` left in ``--score_dir`` (scores, word times, F0, and where the
rows' audio is), attention maps ``<utt>.npz`` (``attention`` (W, F), ``words``,
``frame_shift``) and the training logs of ESPnet experiment directories.
"""

import argparse
import logging
import os
from pathlib import Path

import numpy as np

from espnet2_taste.bin import run
from espnet2_taste.metrics.matching import Measures
from espnet2_taste.metrics.measure import read_measures
from espnet2_taste.metrics.results import read_results
from espnet2_taste.metrics.rows import read_scp
from espnet2_taste.report.page import Clip, Utterance, build_page
from espnet2_taste.report.results_md import environment, results_markdown
from espnet2_taste.report.training_log import read_curves


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--score_dir", type=Path, required=True, help="output_dir of bin.score")
    add("--attention_dir", type=Path, help="searched for attention/<utt>.npz")
    add("--exp_dirs", nargs="*", default=[], help="name=folder with train.log ...")
    add("--title", default="TASTE")
    add("--commands", nargs="*", default=[], help="shell lines that made the results")
    add("--num_utterances", type=int, default=12, help="to listen to")
    add("--results", type=Path, required=True, help="RESULTS.md to write")
    add("--html", type=Path, required=True, help="HTML report to write")
    return parser


def choose(ids: list[str], preferred: list[str], count: int) -> list[str]:
    """``count`` ids at even steps; those with an attention map come first."""
    chosen = [utt for utt in preferred if utt in set(ids)][: max(count // 2, 1)]
    rest = [utt for utt in ids if utt not in set(chosen)]
    missing = min(count - len(chosen), len(rest))
    steps = np.linspace(0, len(rest) - 1, missing).round().astype(int)
    return sorted({*chosen, *(rest[i] for i in steps)})


def find_attention(folder: Path | None) -> dict[str, Path]:
    """utt -> npz in ``folder/attention`` or in that of its shards."""
    if folder is None:
        return {}
    return {p.stem: p for p in sorted(folder.glob("**/attention/*.npz"))}


def read_attention(path: Path) -> tuple[np.ndarray, list[str], float]:
    """(W, F) attention, W words, frame shift in s."""
    with np.load(path, allow_pickle=False) as content:
        words = [str(word) for word in content["words"]]
        return content["attention"], words, float(content["frame_shift"])


def collect_utterances(
    scores: dict, score_dir: Path, attention: dict[str, Path], count: int
) -> list[Utterance]:
    """The utterances to listen to, with the first seed of every row."""
    text = read_scp(Path(scores["ref_dir"]) / "text")
    utterances = {
        utt: Utterance(utt, text[utt])
        for utt in choose(sorted(text), sorted(attention), count)
    }
    for key, folder in first_seeds(scores["folders"]).items():
        wavs = read_scp(Path(folder) / "wav.scp")
        own = Path(folder) / "text"
        words = text | (read_scp(own) if own.exists() else {})
        measures: dict[str, Measures] = read_measures(score_dir / "measures", key)
        for utt, utterance in utterances.items():
            if utt in wavs and utt in measures and measures[utt].seconds > 0:
                clip = Clip(key, wavs[utt], words[utt], measures[utt])
                utterance.clips.append(clip)
    for utt, path in attention.items():
        if utt in utterances:
            utterances[utt].attention = read_attention(path)
    return list(utterances.values())


def first_seeds(folders: dict[str, str]) -> dict[str, str]:
    """Row keys (``name`` or ``name:seed``) -> one folder per name, order kept."""
    names: set[str] = set()
    first = {}
    for key, folder in folders.items():
        name = key.partition(":")[0]
        if name not in names:
            names.add(name)
            first[key] = folder
    return first


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(content, encoding="utf-8")
    os.replace(temporary, path)


def report(args: argparse.Namespace) -> None:
    """Write both files."""
    scores = read_results(args.score_dir)
    curves = {}
    for item in args.exp_dirs:
        name, equals, folder = item.partition("=")
        if not equals or not Path(folder).is_dir():
            raise ValueError(f"--exp_dirs '{item}': expected name=folder")
        curves[name] = read_curves(Path(folder))
        if not curves[name]:
            logging.warning("%s: no epoch in train*.log, no curves", folder)
    env = environment()
    write(args.results, results_markdown(scores, args.title, env, args.commands))
    attention = find_attention(args.attention_dir)
    utterances = collect_utterances(
        scores, args.score_dir, attention, args.num_utterances
    )
    page = build_page(args.title, scores, env, args.commands, utterances, curves)
    write(args.html, page)
    logging.info("wrote %s", args.results)
    logging.info("wrote %s (%.1f MB)", args.html, len(page) / 1e6)


def main(cmd: list[str] | None = None) -> None:
    args = get_parser().parse_args(cmd)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s (%(module)s:%(lineno)d) %(levelname)s: %(message)s",
    )
    try:
        report(args)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"report: {error}") from None


if __name__ == "__main__":
    run(main)
