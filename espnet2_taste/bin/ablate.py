"""Train and score variations of a recipe, one after the other, and compare them.

For a recipe folder after ``./run.sh --stop_stage 5``, with the environment of
``. ./path.sh``. A YAML file names the choices: the first is the recipe itself, each
other one says from which sub-stage of tokenizer training on (text_only, no_vq or rvq)
it differs, and in which options of training::

    seeds: [0, 1]                  # of training
    options: {meters: frames}      # of every ./run.sh
    choices:
      recipe:
      fsq:
        rvq: {quantizer: fsq, quantizer_conf: {levels: [2, 2, 4, 4]}}
      one_layer:                   # trains no_vq and rvq; sets an entry of a _conf
        no_vq: {encoder_conf.value_source: 1}

Every choice and seed is a run of ``./run.sh`` (stages 5, 6, 9) tagged
``<file>_<choice>_seed<seed>``. The sub-stages before are taken from the first choice's
run with this seed, or from the recipe's own. Done steps are skipped, killed ones
resumed. Prints ``<expdir>/<file>/ablation.md``: the scores of all runs and, the seeds
averaged, what ``bin.compare`` says. Options not listed here go to ``./run.sh``.
"""

import argparse
import json
import logging
import shlex
import subprocess
import sys
from pathlib import Path

from espnet2_taste.bin import run
from espnet2_taste.evaluate.comparison import RESAMPLES
from espnet2_taste.evaluate.results import RESULTS
from espnet2_taste.evaluate.score_folder import ScoreFolder, average
from espnet2_taste.evaluate.side_by_side import (
    Side,
    comparison_markdown,
    comparison_results,
)
from espnet2_taste.evaluate.table import group_tables, markdown_table
from espnet2_taste.io.atomic import write_text
from espnet2_taste.io.config import read_yaml
from espnet2_taste.io.processes import end_with_parent

#: Sub-stage -> the option of ./run.sh that names a trained one.
SUB_STAGES = {"text_only": "text_only_exp", "no_vq": "no_vq_exp", "rvq": "taste_exp"}
TABLE, ROW = "reconstruction", "taste"


def read_choices(path: Path) -> dict:
    """``seeds``, ``options`` and ``choices`` of the YAML file.

    Raises:
        ValueError: a choice is not as described above.
    """
    conf = {"seeds": [0], "options": {}, "choices": {}} | read_yaml(path)
    for number, (name, choice) in enumerate(conf["choices"].items()):
        stages = list(choice or {})
        if stages if number == 0 else len(stages) != 1 or stages[0] not in SUB_STAGES:
            raise ValueError(
                f"{path}: choice {name}: the first must be empty, any other name one "
                f"of {', '.join(SUB_STAGES)} with options of training"
            )
    return conf


def training_options(changes: dict) -> str:
    """``{"a": 1, "b_conf.c": [2]}`` -> ``--a 1 --b_conf c=[2]``."""
    words = []
    for key, value in changes.items():
        option, _, entry = key.partition(".")
        if not isinstance(value, str):
            value = json.dumps(value, separators=(",", ":"))  # no space: one word
        words.append(f"--{option} {entry}={value}" if entry else f"--{option} {value}")
    return " ".join(words)


def run_options(name: str, conf: dict, choice: str, seed: int, own: int, expdir: Path):
    """Options of ``./run.sh``; ``own`` is the seed of the recipe's own run."""
    reference, stages = next(iter(conf["choices"])), list(SUB_STAGES)
    ((differs, changes),) = (conf["choices"][choice] or {None: {}}).items()
    taken = stages[: stages.index(differs)] if differs else stages
    if choice == reference and seed != own:
        taken = stages[:1]  # it never hears the audio: one for all seeds
    tag = "" if seed == own else f"_{name}_{reference}_seed{seed}"
    folders = {stage: f"{expdir}/taste_{stage}{tag}" for stage in stages}
    folders["text_only"] = f"{expdir}/taste_text_only"
    tagged = f"{name}_{choice}_seed{seed}"
    options = {
        "tag": tagged,
        "seed": seed,
        "taste_args": training_options(changes),
        "baseline_exp": folders["text_only"],  # it is not scored
        "results": expdir / name / f"{tagged}.md",
    }
    options |= {SUB_STAGES[stage]: folders[stage] for stage in taken}
    if any(key.startswith("frontend") for key in changes):
        options["feats_type"] = "raw"  # extracted ones are of the recipe's frontend
    return options


def page(done: dict[str, list[Path]]) -> str:
    """Choice -> its scores folders -> Markdown, with a part per test set."""
    parts = []
    first = next(iter(done.values()))[0]
    for test_set in sorted(path.parent.name for path in first.glob(f"*/{RESULTS}")):
        read = {c: [ScoreFolder.read(f / test_set) for f in x] for c, x in done.items()}
        rows = {
            f"{choice}, run {number}": scores.results[TABLE][ROW]
            for choice, runs in read.items()
            for number, scores in enumerate(runs, start=1)
        }
        results = next(iter(read.values()))[0].results | {TABLE: rows}
        parts.append(f"# {test_set}: all runs")
        parts += [markdown_table(cells) for _, cells in group_tables(results, TABLE)]
        if len(read) > 1:
            sides = {c: Side(average(runs)) for c, runs in read.items()}
            compared = comparison_results(sides, [ROW], RESAMPLES, seed=0)
            parts.append(comparison_markdown(compared))
    parts.append("Intervals are over utterances, not over trainings.\n")
    return "\n\n".join(parts)


def main(cmd: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="YAML as described above")
    parser.add_argument("--expdir", type=Path, default="exp", help="of the recipe")
    parser.add_argument("--output", type=Path, help="a copy of ablation.md")
    args, given = parser.parse_known_args(cmd)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    conf, name = read_choices(args.config), args.config.stem
    recipe = args.expdir / "taste_rvq" / "config.yaml"
    if not recipe.exists():
        raise FileNotFoundError(f"no {recipe}: run ./run.sh --stop_stage 5 first")
    own = read_yaml(recipe)["seed"]
    every = {"stage": 5, "stop_stage": 9, "with_taslm": "false", "rows": ROW}
    every |= {"expdir": args.expdir, **conf["options"]}
    done, failed = {choice: [] for choice in conf["choices"]}, []
    for seed in conf["seeds"]:
        for choice in conf["choices"]:
            options = every | run_options(name, conf, choice, seed, own, args.expdir)
            words = [word for k, v in options.items() for word in (f"--{k}", str(v))]
            logging.info("./run.sh %s", shlex.join([*words, *given]))
            command = ["./run.sh", *words, *given]
            if subprocess.run(command, preexec_fn=end_with_parent).returncode:
                failed.append(options["tag"])
            else:
                done[choice].append(args.expdir / f"scores_{options['tag']}")
    if done := {choice: runs for choice, runs in done.items() if runs}:
        text = page(done)
        for path in filter(None, (args.expdir / name / "ablation.md", args.output)):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
        print(text)
    if failed:
        sys.exit(f"error: failed: {', '.join(failed)}")


if __name__ == "__main__":
    run(main)
