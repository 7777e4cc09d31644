"""Score rows of recordings against the originals, and spoken LM test sets (stage 9).

Writes into ``--output_dir``: ``results.json`` and ``results.csv`` (all tables),
``statistics.npz`` (sums per utterance, of which values, intervals and
``bin.compare`` are made), ``utterances.csv``, ``table.md`` (printed, too), ESPnet's
``score_{wer,cer}/<row>/{ref.trn,hyp.trn,result.txt}`` and ``measures/`` (what was
measured of each recording: a later run measures what changed; see ``bin.measure``).
Nothing that measures is a model being scored, unless by choice: a speaker similarity
measured with the encoder of ``--conditioned_by`` is marked as an upper bound.
"""

import argparse
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.measure_options import add_measure_options, read_plan
from espnet2_taste.bin.options import named_folders
from espnet2_taste.evaluate import codes
from espnet2_taste.evaluate.judge import judge_identity
from espnet2_taste.evaluate.results import write_results
from espnet2_taste.evaluate.row_scoring import Scorer, not_computed
from espnet2_taste.evaluate.rtf import real_time_factors
from espnet2_taste.evaluate.scorers.measure import Measured, measure
from espnet2_taste.evaluate.scorers.measure_cache import MeasureCache
from espnet2_taste.evaluate.scorers.plan import Plan
from espnet2_taste.evaluate.scores import RowScores, average_seeds
from espnet2_taste.evaluate.table import markdown
from espnet2_taste.evaluate.wer import characters, sclite_identity, write_wer_files
from espnet2_taste.text.normalise import CLEANERS, load_cleaner


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    add_measure_options(parser)
    add = parser.add_argument
    add(
        "--cleaner",
        choices=list(CLEANERS),
        help="of texts before words are compared (default: the recogniser's): "
        + "; ".join(f"{name}: {what}" for name, what in CLEANERS.items()),
    )
    add("--train_dir", type=Path, help="training set; its words.ctm, if any, is used")
    add("--taste", type=Path, help="taste.scp of the reference set")
    add("--train_taste", type=Path, help="taste.scp of the training set")
    add(
        "--bitrate_of",
        nargs="*",
        default=["taste=codes", "copy=units"],
        help="row=codes or row=units: what it is made from besides text",
    )
    add(
        "--conditioned_by",
        metavar="TYPE=MODEL",
        help="the speaker encoder whose embeddings the scored systems speak from",
    )
    add(
        "--rtf_dirs",
        nargs="*",
        default=[],
        type=Path,
        help="rtf.json besides those of --ref_dir, --taste and the rows: of its units",
    )
    add("--likelihood", nargs="*", default=[], help="name=folder of a scored test set")
    add("--qa", nargs="*", default=[], help="name=folder of answered questions")
    add("--output_dir", type=Path, required=True)
    return parser


def score_recordings(args: argparse.Namespace) -> tuple[dict, dict]:
    """Reconstruction and continuation: part of the results, and the rows by table."""
    plan = read_plan(args)
    cache = MeasureCache(args.output_dir / "measures")
    measured = measure(plan.jobs(), cache, args.nj, args.batch_size)
    recognisers = measured.of_axis("recogniser").values()
    usual = next((made.recogniser.cleaner for made in recognisers), "words")
    cleaner = args.cleaner or usual
    train_ctm = args.train_dir / "words.ctm" if args.train_dir else None
    scorer = Scorer(plan, measured, load_cleaner(cleaner), train_ctm)
    if not any(scorer.seconds.values()):
        raise ValueError(f"{args.ref_dir}/wav.scp: no audio can be read (see the log)")
    rows = {
        "reconstruction": scorer.reconstruction(),
        "continuation": scorer.continuation(),
    }
    everything = [scores for table in rows.values() for scores in table]
    write_errors(args.output_dir, everything, plan.utt2spk)
    code_results = add_codes(args, scorer.seconds, rows["reconstruction"])
    data = [args.ref_dir, *args.rtf_dirs]
    data += [args.taste.parent] if args.taste else []
    made = plan.rows[1:] + plan.continuations
    choices = [choice for row in plan.choices.values() for choice in row]
    results = {
        "num_utterances": len(plan.utterances),
        "seconds": sum(scorer.seconds.values()),
        "ref_dir": str(args.ref_dir),
        "folders": {row.key: str(row.folder) for row in scorer.everything},
        "codes": code_results,
        "rtf": real_time_factors(data, [(row.name, row.folder) for row in made]),
        "scorers": name_scorers(measured, cleaner) | name_judges(plan),
        "not_computed": not_computed(choices, measured.unavailable, everything),
    }
    results["upper_bounds"] = upper_bounds(args.conditioned_by, results["scorers"])
    return results, rows


def upper_bounds(conditioned_by: str | None, scorers: dict[str, str]) -> dict[str, str]:
    """Metric -> why its values are higher than those of an independent scorer."""
    if not conditioned_by or "speaker" not in scorers:
        return {}
    from espnet2_taste.evaluate.scorers.speaker import UPPER_BOUND, speaker_identity

    kind, _, model = conditioned_by.partition("=")
    same = scorers["speaker"] == speaker_identity(kind, model)
    return {"speaker_similarity": UPPER_BOUND} if same else {}


def name_scorers(measured: Measured, cleaner: str) -> dict[str, str]:
    """What measured -> package, version, weights."""
    names = {"recogniser": "words", "aligner": "word times", "pitch": "F0"}
    scorers = {
        names.get(folder, folder): identity
        for folder, identity in measured.identities().items()
    }
    if "words" in scorers:
        scorers["cleaner"] = f"{cleaner} ({CLEANERS[cleaner]})"
        scorers["word errors"] = sclite_identity()
    return scorers


def name_judges(plan: Plan) -> dict[str, str]:
    """Language models that were asked about continuations (see ``bin.judge``)."""
    names = [judge_identity(row.folder) for row in plan.continuations]
    names = list(dict.fromkeys(filter(None, names)))
    return {"judge": "; ".join(names)} if names else {}


def write_errors(folder: Path, rows: list[RowScores], utt2spk: dict[str, str]) -> None:
    """ESPnet's files of word and character errors."""
    for scores in rows:
        if scores.errors is None:
            continue
        name = scores.row.key.replace(":", "_seed")
        lines = {line["utt"]: line for line in scores.utterances}
        sides = [
            {utt: line[side].split() for utt, line in lines.items()}
            for side in ("text", "recognised")
        ]
        write_wer_files(folder / "score_wer" / name, *sides, utt2spk)
        letters = [{u: characters(w) for u, w in side.items()} for side in sides]
        write_wer_files(folder / "score_cer" / name, *letters, utt2spk)


def add_codes(
    args: argparse.Namespace, seconds: dict[str, float], rows: list[RowScores]
) -> dict:
    """Bit rates and use of codes and units; adds ``bitrate`` to ``--bitrate_of``."""
    result, found = {}, {}
    if args.taste:
        found["codes"] = codes.read_code_set(args.taste)
        result |= codes.score_codes(*found["codes"], seconds)
    if args.train_taste:
        trained = codes.read_code_set(args.train_taste)
        result |= codes.score_training_codes(*trained)
    if (args.ref_dir / "units.scp").exists():
        found["units"] = codes.read_units(args.ref_dir / "units.scp")
        result |= codes.score_units(*found["units"], seconds)
    for item in args.bitrate_of:
        name, _, what = item.partition("=")
        if what not in ("codes", "units"):
            raise ValueError(f"--bitrate_of '{item}': expected row=codes or row=units")
        if what in found:
            statistics = codes.bitrate_statistics(*found[what], seconds)
            for scores in rows:
                if scores.row.name == name:
                    scores.statistics["bitrate"] = statistics
    return result


def score(args: argparse.Namespace) -> dict:
    """Measure what is to be measured, write all files and return the results."""
    from espnet2_taste.evaluate.likelihood import score_likelihood
    from espnet2_taste.evaluate.qa import score_qa

    results = {"num_utterances": 0, "seconds": 0.0, "ref_dir": "", "folders": {}}
    results |= {"codes": {}, "rtf": {}, "scorers": {}, "not_computed": {}}
    results["upper_bounds"] = {}
    rows: dict[str, list[RowScores]] = {"reconstruction": [], "continuation": []}
    if args.ref_dir is not None:
        results, rows = score_recordings(args)
    elif args.rows or args.continuation_rows:
        raise ValueError("--rows and --continuation_rows need --ref_dir")
    likelihood = named_folders("--likelihood", args.likelihood)
    rows["likelihood"] = [r for s in likelihood.items() for r in score_likelihood(*s)]
    qa = named_folders("--qa", args.qa)
    rows["qa"] = [row for item in qa.items() for row in score_qa(*item)]
    if not any(rows.values()):
        raise ValueError("nothing to score: give --ref_dir, --likelihood or --qa")
    results |= {table: average_seeds(entries) for table, entries in rows.items()}
    write_results(args.output_dir, results, rows)
    return results


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    args.output_dir.mkdir(parents=True, exist_ok=True)
    print(markdown(score(args)))


if __name__ == "__main__":
    run(main)
