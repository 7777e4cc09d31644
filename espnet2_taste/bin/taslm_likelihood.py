"""How likely a TASLM finds the utterances of a data directory.

Writes ``score`` (a table: -(mean text CE + sum over codebooks of mean code CE), larger
is likelier), ``score_sum`` (log p of text and codes) and ``likelihoods.jsonl`` (one
object per utterance: every stream, summed and per token or word; see
espnet2_taste.taslm.likelihood.Likelihoods).
"""

import argparse

from espnet2_taste.bin import command, run
from espnet2_taste.bin.options import (
    add_batch_options,
    add_data_options,
    add_model_options,
)


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_model_options(parser, "TASLM")
    add_data_options(parser, "text")
    parser.add_argument("--taste", required=True, help="taste.scp of these utterances")
    add_batch_options(parser)
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    from espnet2_taste.inference.taslm_likelihood import TaslmLikelihood
    from espnet2_taste.io.arks import read_codes
    from espnet2_taste.io.shards import Shard
    from espnet2_taste.io.tables import read_selected

    shard = Shard(args, tables=["score", "score_sum", "likelihoods.jsonl"])
    if shard.done:
        return
    taslm = TaslmLikelihood(args.train_config, args.model_file, args.device)
    text = read_selected(args.data_dir / "text", args.key_file)
    codes = read_codes(args.taste, taslm.model.quantizer.num_codebooks, text)
    for names in shard.batches({name: len(codes[name]) for name in text}):
        results = taslm(
            [text[name] for name in names], [codes[name] for name in names], names
        )
        for name, row in zip(names, results, strict=True):
            values = {key: f"{row[key]:.6f}" for key in ("score", "score_sum")}
            shard.write(name, values | {"likelihoods.jsonl": row})


if __name__ == "__main__":
    run(main)
