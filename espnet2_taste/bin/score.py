"""Score rows of recordings against the originals, and spoken LM test sets (stage 9).

Writes into ``--output_dir``: ``results.json`` and ``results.csv`` (all tables),
``statistics.npz`` (sums per utterance, of which values, intervals and
``bin.compare`` are made), ``utterances.csv``, ``table.md`` (printed, too), ESPnet's
``score_{wer,cer}/<row>/{ref,hyp}.trn`` (and sclite's ``result.txt``), and ``measures/``
(of each recording: a later run measures what changed; see ``bin.measure``).
Nothing that measures is a model being scored, unless by choice: a speaker similarity
measured with the encoder of ``--conditioned_by``, and word errors counted by the
recogniser that made the reference texts, are marked as upper bounds.
"""

import argparse
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.measure_options import add_measure_options, measured_rows
from espnet2_taste.bin.options import named_folders
from espnet2_taste.evaluate import codes, likelihood, qa
from espnet2_taste.evaluate.column import to_json
from espnet2_taste.evaluate.environment import environment
from espnet2_taste.evaluate.results import average_seeds, write_results
from espnet2_taste.evaluate.rows import Row
from espnet2_taste.evaluate.rtf import real_time_factors
from espnet2_taste.evaluate.score import (
    compared_to,
    describe,
    not_computed,
    score_rows,
)
from espnet2_taste.evaluate.scorers.beside import (
    BitRate,
    BuiltInTranscript,
    Judge,
    UnitAccuracy,
)
from espnet2_taste.evaluate.scorers.words import write_espnet_files
from espnet2_taste.evaluate.table import TABLES, markdown
from espnet2_taste.text.normalise import CLEANERS

#: Test sets of a language model: option and table -> columns, and what scores one.
TESTS = {
    "likelihood": (likelihood.COLUMNS, likelihood.score_likelihood),
    "qa": (qa.COLUMNS, qa.score_qa),
}


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
        default=["text_only=text", "taste=codes", "copy=units"],
        help="row=text, row=codes (and the text that they are of) or row=units: what "
        "it is made from",
    )
    add(
        "--conditioned_by",
        default="",
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


def read_made_from(items: list[str]) -> dict[str, str]:
    """``row=text``, ``row=codes`` or ``row=units`` items of ``--bitrate_of``."""
    rows = {}
    for item in items:
        name, _, rows[name] = item.partition("=")
        if rows[name] not in ("text", "codes", "units"):
            raise ValueError(
                f"--bitrate_of '{item}': expected row=text, row=codes or row=units"
            )
    return rows


def score_recordings(args: argparse.Namespace) -> tuple[dict, list[Row]]:
    """Part of the results, and the rows of reconstruction and continuation."""
    rows, lost, _ = measured_rows(args, args.output_dir / "measures")
    original, *made = rows
    seconds = original.seconds
    if not any(seconds.values()):
        raise ValueError(f"{args.ref_dir}/wav.scp: no audio can be read (see the log)")
    units = args.ref_dir / "units.scp"
    coded, found = codes.score_all(
        args.taste, args.train_taste, units, original.texts, seconds
    )
    made_from = read_made_from(args.bitrate_of)
    bits = {row: codes.bits(found[w]) for row, w in made_from.items() if w in found}
    for row in rows:
        row.scorers += [BitRate(bits), UnitAccuracy(), BuiltInTranscript(), Judge()]
    score_rows(rows)
    for row in rows:
        if row.errors is not None:
            write_espnet_files(args.output_dir, row)
    data = [args.ref_dir, *args.rtf_dirs, *([args.taste.parent] if args.taste else [])]
    results = {
        "num_utterances": len(original.texts),
        "seconds": sum(seconds.values()),
        "ref_dir": str(args.ref_dir),
        "folders": {row.key: str(row.folder) for row in rows},
        "codes": coded,
        "made_from": made_from,
        "rtf": real_time_factors(data, [(row.name, row.folder) for row in made]),
        "not_computed": not_computed(lost, rows),
    }
    return results | describe(rows, args.conditioned_by), rows


def score(args: argparse.Namespace) -> dict:
    """Measure what is to be measured, write all files and return the results."""
    results = {"num_utterances": 0, "seconds": 0.0, "ref_dir": "", "columns": {}}
    parts = ("folders", "codes", "rtf", "scorers", "not_computed", "upper_bounds")
    results |= {part: {} for part in parts}
    rows: dict[str, list[Row]] = {table: [] for table in TABLES}
    if args.ref_dir is not None:
        results, recorded = score_recordings(args)
        for row in recorded:
            rows[row.table].append(row)
    elif args.rows or args.continuation_rows:
        raise ValueError("--rows and --continuation_rows need --ref_dir")
    for table, (columns, score_test) in TESTS.items():
        results["columns"][table] = to_json(columns)
        folders = named_folders(f"--{table}", getattr(args, table))
        for name, folder in folders.items():
            rows[table] += score_test(name, folder)
    if not any(rows.values()):
        raise ValueError("nothing to score: give --ref_dir, --likelihood or --qa")
    compared = {table: compared_to(table, entries) for table, entries in rows.items()}
    results |= {"compared_to": compared, "environment": environment()}
    for table, entries in rows.items():
        columns = results["columns"].get(table, [])
        results[table] = average_seeds(entries, compared[table], columns)
    write_results(args.output_dir, results, rows)
    return results


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    args.output_dir.mkdir(parents=True, exist_ok=True)
    print(markdown(score(args)))


if __name__ == "__main__":
    run(main)
