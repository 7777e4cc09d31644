"""Score rows of syntheses against the reference recordings (stage 9).

Writes ``results.json``, ``results.csv``, ``statistics.npz`` (what intervals and
``bin.compare`` are computed from), ``utterances.csv``, ``table.md``,
``measures/<row>.json`` (word times and F0 of every recording; the cache of a re-run)
and, per row, ESPnet's ``score_wer/<row>/{ref.trn,hyp.trn,result.txt}``, and prints the
tables. Nothing here touches the models being scored: words and word times come from
pocketsphinx, F0 from WORLD.
"""

import argparse
import logging
from importlib.metadata import version
from pathlib import Path

import numpy as np

from espnet2_taste.bin import run
from espnet2_taste.metrics import bitrate, codebook
from espnet2_taste.metrics.continuation import (
    reference_type_means,
    score_continuations,
)
from espnet2_taste.metrics.measure import measure_rows
from espnet2_taste.metrics.results import write_results
from espnet2_taste.metrics.rows import Row, parse_rows, read_scp, row_recordings
from espnet2_taste.metrics.rtf import read_rtf
from espnet2_taste.metrics.scores import (
    add_continuation,
    add_reconstruction,
    average_seeds,
    score_words,
)
from espnet2_taste.metrics.table import markdown
from espnet2_taste.metrics.unit_accuracy import read_unit_accuracy
from espnet2_taste.metrics.wer import write_wer_files
from espnet2_taste.metrics.words import normalise_words

REFERENCE_ROW = "original"


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--ref_dir", type=Path, required=True, help="wav.scp text utt2spk [units.scp]")
    add("--train_dir", type=Path, help="training set; its words.ctm, if any, is used")
    add("--output_dir", type=Path, required=True)
    add("--rows", nargs="*", default=[], help="name=folder or name:seed=folder ...")
    add("--continuation_rows", nargs="*", default=[], help="the same; with prompt_text")
    add("--grammar", type=Path, help="JSGF for the recogniser, else its general LM")
    add(
        "--continuation_grammar",
        type=Path,
        help="JSGF that allows parts of sentences, for --continuation_rows",
    )
    add("--taste", type=Path, help="taste.scp of the reference set")
    add("--train_taste", type=Path, help="taste.scp of the training set")
    add("--codebook_size", type=int, nargs="+", help="else from beside taste.scp")
    add("--nj", type=int, default=1, help="processes")
    return parser


def read_codes(scp: Path, codebook_size: list[int] | None) -> tuple:
    """(T, R) codes of all utterances and their R codebook sizes, from a taste.scp."""
    import kaldiio

    beside = scp.parent / "num_codebooks"
    if not beside.exists():
        raise FileNotFoundError(f"no file {beside}")
    num_codebooks = int(beside.read_text().split()[0])
    if not codebook_size:
        beside = scp.parent / "codebook_size"
        if not beside.exists():
            raise ValueError(f"no file {beside}: give --codebook_size")
        codebook_size = [int(size) for size in beside.read_text().split()]
    sizes = codebook_size * (num_codebooks if len(codebook_size) == 1 else 1)
    codes = [flat for _, flat in kaldiio.load_scp_sequential(str(scp))]
    flat = np.concatenate(codes) if codes else np.zeros(0, np.int32)
    if len(sizes) != num_codebooks or len(flat) % num_codebooks:
        raise ValueError(
            f"{scp}: {len(flat)} codes, {num_codebooks} codebooks and "
            f"{len(sizes)} codebook sizes do not fit"
        )
    return flat.reshape(-1, num_codebooks), sizes


def read_prompts(row: Row) -> dict[str, list[str]]:
    """utt -> the words of its prompt, from the row's ``prompt_text``."""
    table = read_scp(row.folder / "prompt_text")
    return {utt: normalise_words(prompt) for utt, prompt in table.items()}


def score_codes(args: argparse.Namespace, seconds: float) -> dict:
    """Bit rates and codebook use of the reference set's codes and units."""
    result: dict = {}
    if args.taste:
        codes, sizes = read_codes(args.taste, args.codebook_size)
        used = codebook.utilisation(codes, sizes)
        result |= {
            "num_codebooks": len(sizes),
            "codebook_size": sizes,
            "vectors_per_second": len(codes) / seconds,
            "nominal_bitrate": bitrate.nominal_bitrate(len(codes), sizes, seconds),
            "entropy_bitrate": bitrate.entropy_bitrate(codes, sizes, seconds),
            "entropy": bitrate.entropies(codes, sizes).tolist(),
            "utilisation": float(used.mean()),
            "utilisation_per_codebook": used.tolist(),
        }
    if args.train_taste:
        codes, sizes = read_codes(args.train_taste, args.codebook_size)
        used = codebook.utilisation(codes, sizes)
        result["train_utilisation"] = float(used.mean())
        result["train_utilisation_per_codebook"] = used.tolist()
    if (args.ref_dir / "units.scp").exists():
        import kaldiio

        scp = kaldiio.load_scp_sequential(str(args.ref_dir / "units.scp"))
        units = np.concatenate([u for _, u in scp])[:, None]
        sizes = [int(units.max()) + 1]
        result["units_per_second"] = len(units) / seconds
        result["unit_entropy_bitrate"] = bitrate.entropy_bitrate(units, sizes, seconds)
    return result


def collect_rtf(args: argparse.Namespace, rows: list[Row]) -> dict[str, float]:
    """All steps' real-time factors; a row's are averaged over its seeds."""
    result = read_rtf(args.ref_dir)
    if args.taste:
        result |= read_rtf(args.taste.parent)
    steps: dict[str, list[float]] = {}
    for row in rows[1:]:
        for step, factor in read_rtf(row.folder).items():
            steps.setdefault(f"{row.name}: {step}", []).append(factor)
    return result | {step: float(np.mean(v)) for step, v in steps.items()}


def score(args: argparse.Namespace) -> dict:
    """Measure all rows, write the files of the module text and return the scores."""
    text = read_scp(args.ref_dir / "text")
    utt2spk = read_scp(args.ref_dir / "utt2spk")
    original = Row(REFERENCE_ROW, "", args.ref_dir)
    rows = [original, *parse_rows(args.rows)]
    continuations = parse_rows(args.continuation_rows)
    if any(row.name == REFERENCE_ROW for row in rows[1:]):
        raise ValueError(f"--rows: '{REFERENCE_ROW}' is the reference itself")
    if {row.name for row in rows} & {row.name for row in continuations}:
        raise ValueError("a name is used in both --rows and --continuation_rows")
    unknown = [utt for utt in text if utt not in utt2spk]
    if unknown:
        raise ValueError(f"{args.ref_dir}/utt2spk: no speaker for {unknown[0]}")

    prompts = {row.key: read_prompts(row) for row in continuations}
    everything = rows + continuations
    recordings, words = {}, {}
    for row in everything:
        grammar = args.continuation_grammar if row in continuations else None
        recordings[row.key], words[row.key] = row_recordings(
            row, text, grammar or args.grammar
        )
    measures = measure_rows(recordings, args.output_dir / "measures", args.nj)
    reference = measures[original.key]
    if not reference:
        raise ValueError(f"{args.ref_dir}/wav.scp holds no utterance")
    scored = []
    for row in rows:
        measured = measures[row.key]
        hypotheses = {utt: m.hypothesis for utt, m in measured.items()}
        result = score_words(row, measured, words[row.key], hypotheses)
        add_reconstruction(result, reference, measured, utt2spk)
        result.statistics |= read_unit_accuracy(row.folder)
        scored.append(result)
    train_ctm = args.train_dir / "words.ctm" if args.train_dir else None
    means = reference_type_means(reference, train_ctm) if continuations else {}
    continued = []
    for row in continuations:
        # Only prompted utterances are expected to have a continuation.
        expected = {
            utt: w for utt, w in words[row.key].items() if utt in prompts[row.key]
        }
        hypotheses = {utt: m.hypothesis for utt, m in measures[row.key].items()}
        result = score_words(row, measures[row.key], expected, hypotheses)
        relation = score_continuations(
            reference, measures[row.key], prompts[row.key], means, utt2spk
        )
        add_continuation(result, relation)
        continued.append(result)
    for result in scored + continued:
        folder = args.output_dir / "score_wer" / result.row.key.replace(":", "_seed")
        expected = {u["utt"]: u["text"].split() for u in result.utterances}
        heard = {u["utt"]: u["recognised"].split() for u in result.utterances}
        write_wer_files(folder, expected, heard, utt2spk)
    seconds = sum(m.seconds for m in reference.values())
    grammars = [g.name for g in (args.grammar, args.continuation_grammar) if g]
    using = " and ".join(grammars) or "its general LM"
    scores = {
        "scorers": {
            "words and word times": f"pocketsphinx {version('pocketsphinx')} ({using})",
            "F0": f"pyworld {version('pyworld')}",
        },
        "not_computed": {},
        "num_utterances": len(text),
        "seconds": seconds,
        "ref_dir": str(args.ref_dir),
        "folders": {row.key: str(row.folder) for row in everything},
        "reconstruction": average_seeds(scored),
        "continuation": average_seeds(continued),
        "likelihood": {},
        "qa": {},
        "codes": score_codes(args, seconds),
        "rtf": collect_rtf(args, everything),
    }
    rows = {"reconstruction": scored, "continuation": continued}
    write_results(args.output_dir, scores, rows)
    return scores


def main(cmd: list[str] | None = None) -> None:
    args = get_parser().parse_args(cmd)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s (%(module)s:%(lineno)d) %(levelname)s: %(message)s",
    )
    args.output_dir.mkdir(parents=True, exist_ok=True)
    scores = score(args)
    print(markdown(scores))


if __name__ == "__main__":
    run(main)
