"""How likely a TASLM finds the utterances of a data directory.

Writes ``score`` (a table: -(mean text CE + sum over codebooks of mean code CE), larger
is likelier), ``score_sum`` (log p of text and codes) and ``likelihoods.jsonl`` (one
object per utterance: every stream, summed and per token or word; see
espnet2_taste.taslm.likelihood.Likelihoods).
"""

import argparse
import json
import logging

from espnet2_taste.bin import run
from espnet2_taste.bin.options import (
    add_batch_options,
    add_data_options,
    add_model_options,
)
from espnet2_taste.io.atomic import write_lines


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_model_options(parser, "TASLM")
    add_data_options(parser, "text")
    parser.add_argument("--taste", required=True, help="taste.scp of these utterances")
    add_batch_options(parser)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Entry point; ``cmd`` defaults to ``sys.argv[1:]``."""
    args = get_parser().parse_args(cmd)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    from espnet2_taste.inference.taslm_likelihood import TaslmLikelihood
    from espnet2_taste.io.kaldi import (
        length_batches,
        read_codes,
        read_table,
        select_keys,
        write_table,
    )

    taslm = TaslmLikelihood(args.train_config, args.model_file, args.device)
    text = select_keys(read_table(args.data_dir / "text"), args.key_file)
    codes = read_codes(args.taste, taslm.model.quantizer.num_codebooks, text)
    found = {}
    lengths = {name: len(codes[name]) for name in text}
    for batch in length_batches(lengths, args.batch_size):
        results = taslm(
            [text[name] for name in batch], [codes[name] for name in batch], batch
        )
        found |= dict(zip(batch, results, strict=True))
        logging.info("%d of %d utterances", len(found), len(text))
    args.output_dir.mkdir(parents=True, exist_ok=True)
    for field in ("score", "score_sum"):
        table = {name: f"{row[field]:.6f}" for name, row in found.items()}
        write_table(args.output_dir / field, table)
    lines = (json.dumps({"key": u} | found[u]) for u in sorted(found))
    write_lines(args.output_dir / "likelihoods.jsonl", lines)


if __name__ == "__main__":
    run(main)
