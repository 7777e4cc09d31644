"""Count the tokens of texts: batches of a TASLM that are sorted by them have next to no
padding. Writes ``id count`` lines, a shape file of ESPnet."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.options import add_segmenter_option
from espnet2_taste.io.atomic import write_lines
from espnet2_taste.io.config import read_training_config
from espnet2_taste.io.tables import read_entries
from espnet2_taste.text.segmenters import SEGMENTERS
from espnet2_taste.text.tokenizers import build_text_tokenizer


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add(
        "--config", type=Path, required=True, help="training configuration of the TASLM"
    )
    add("--bpe_model", help="its token_model where it has none and token_type is bpe")
    add("--data_dir", type=Path, required=True, help="has `text`")
    add("--output", type=Path, required=True, help="file to write")
    add_segmenter_option(parser)
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    conf = read_training_config(args.config)
    kind = conf.get("token_type", "bpe")
    model = conf.get("token_model") or (args.bpe_model if kind == "bpe" else None)
    tokenizer = build_text_tokenizer(kind, model)

    def counts() -> Iterator[str]:
        for _, key, text in read_entries(args.data_dir / "text"):
            ids, _ = tokenizer.encode_words(*SEGMENTERS[args.segmenter].split(text))
            yield f"{key} {len(ids)}"

    args.output.parent.mkdir(parents=True, exist_ok=True)
    write_lines(args.output, counts())


if __name__ == "__main__":
    run(main)
