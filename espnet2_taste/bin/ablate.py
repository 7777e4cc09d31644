"""Train, score and tabulate the variants of a few-line YAML, in a recipe folder.

``axes`` maps names to choices, and choices to overrides of the configurations of the
tokenizer's sub-stages; every combination (``design: one_at_a_time``: every choice with
the others at their first) is trained with every one of ``seeds``::

    axes:
      quantizer:
        rvq:                       # the recipe's own
        fsq:
          rvq:                     # sub-stages, separated by spaces
            quantizer: fsq
            quantizer_conf: {levels: [2, 2, 4, 4], num_codebooks: 4}
      values:
        features:
        layers:
          no_vq rvq:
            aggregator: multi_layer
            encoder_conf.value_source: [0, 1, 2]   # an entry inside
    seeds: [0, 1]
    metrics: [wer, rate_corr]      # to show; left out: all
    options: {meters: frames}      # of ./run.sh

Each system is a run of ``./run.sh`` (stages 5, 6 and 9) with a tag; sub-stages that
variants have in common with each other or with the recipe's own run are trained once.
Done steps are skipped, killed ones resumed. Stages 1 to 4 must be done, and the
environment be that of ``. ./path.sh``. Writes
``<expdir>/<name of the YAML>/ablation.{md,json}`` and prints the former. Options that
are not listed here go to ``./run.sh``; with ``--stage 9`` it only scores again.
"""

import argparse
import json
import logging
import shlex
import sys
from pathlib import Path

import yaml

from espnet2_taste.ablation.answers import (
    compare_choices,
    reference_scores,
    variant_scores,
)
from espnet2_taste.ablation.page import ablation_markdown
from espnet2_taste.ablation.plan import (
    SUB_STAGES,
    Ablation,
    System,
    plan_systems,
    read_ablation,
)
from espnet2_taste.ablation.runs import recipe_run, run_systems
from espnet2_taste.bin import run
from espnet2_taste.evaluate.comparison import RESAMPLES
from espnet2_taste.evaluate.score_folder import ScoreFolder
from espnet2_taste.evaluate.undefined import without_nan
from espnet2_taste.io.atomic import write_text


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("config", type=Path, help="YAML as described above")
    add("--expdir", type=Path, default=Path("exp"), help="of the recipe")
    add(
        "--taste_config",
        default="conf/train_taste_%s.yaml",
        help="the recipe's configurations; %%s: sub-stage",
    )
    add("--nj", type=int, default=2, help="systems at once")
    add("--resamples", type=int, default=RESAMPLES, help="of the bootstrap")
    add("--output", type=Path, help="a copy of ablation.md")
    return parser


def read_confs(pattern: str) -> dict[str, dict]:
    """Sub-stage -> configuration, of those that the recipe has.

    Raises:
        FileNotFoundError: one that every recipe has is missing.
    """
    confs = {}
    for stage in SUB_STAGES:
        path = Path(pattern % stage)
        if path.is_file():
            confs[stage] = yaml.safe_load(path.read_text(encoding="utf-8"))
        elif stage != "text_only_matched":
            raise FileNotFoundError(f"no {path}: run this in a recipe folder")
    return confs


def train_and_score(
    args: argparse.Namespace, ablation: Ablation, folder: Path, options: list[str]
) -> tuple[list[System], dict[str, str]]:
    """The recipe's own sub-stages, then all systems; returns them and the failures."""
    confs = read_confs(args.taste_config)
    given = {"expdir": args.expdir, **ablation.options}
    words = [word for key, value in given.items() for word in (f"--{key}", str(value))]
    options = [*words, *options]
    logging.info("the recipe's own sub-stages")
    recipe = [*options, "--taste_config", args.taste_config, "--nj", str(args.nj)]
    recipe_run(folder / "recipe.log", ["--stage", "5", "--stop_stage", "5", *recipe])
    own = args.expdir / "taste_rvq" / "config.yaml"
    seed = yaml.safe_load(own.read_text(encoding="utf-8"))["seed"]
    systems = plan_systems(ablation, confs, seed)
    for system in systems:
        shared = [f"{s} of {tag or 'the recipe'}" for s, tag in system.reuse.items()]
        logging.info("%s: shares %s", system.tag, ", ".join(shared) or "nothing")
    reference = next(s for s in systems if s.variant is ablation.variants[0])
    failed = run_systems(systems, folder, reference, options, args.nj)
    return systems, failed


def tabulate(
    args: argparse.Namespace,
    ablation: Ablation,
    systems: list[System],
    failed: dict[str, str],
) -> dict:
    """Everything ``ablation.json`` holds; undefined is null."""
    done = [system for system in systems if system.tag not in failed]
    scores = {s.tag: ScoreFolder.read(args.expdir / f"scores_{s.tag}") for s in done}
    first = [s for s in done if s.variant is ablation.variants[0]]
    results = {
        "command": shlex.join(
            ["python", "-m", "espnet2_taste.bin.ablate", *args.words]
        ),
        "seeds": ablation.seeds,
        "axes": ablation.axes,
        "failed": failed,
        "scorers": scores[done[0].tag].results.get("scorers", {}) if done else {},
        "reference": reference_scores(ablation, scores[first[0].tag]) if first else {},
        "variants": variant_scores(ablation, done, scores),
        "questions": {
            axis: compare_choices(axis, ablation, done, scores, args.resamples)
            for axis in ablation.axes
        },
    }
    return without_nan(results)


def main(cmd: list[str] | None = None) -> None:
    """Entry point; ``cmd`` defaults to ``sys.argv[1:]``."""
    args, options = get_parser().parse_known_args(cmd)
    args.words = sys.argv[1:] if cmd is None else cmd
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    ablation = read_ablation(args.config)
    folder = args.expdir / ablation.name
    systems, failed = train_and_score(args, ablation, folder, options)
    for tag, reason in failed.items():
        logging.error("%s: %s", tag, reason)
    results = tabulate(args, ablation, systems, failed)
    text = ablation_markdown(results)
    write_text(folder / "ablation.json", json.dumps(results, indent=1) + "\n")
    for path in filter(None, (folder / "ablation.md", args.output)):
        write_text(path, text)
    print(text)
    if failed:
        sys.exit(f"error: {len(failed)} of {len(systems)} systems failed, see above")


if __name__ == "__main__":
    run(main)
