"""How much of a training's batches is padding: what packing could win at most.

python -m benchmarks.padding --data_dir egs2/taste/mini/dump/raw/train \
    --token_model egs2/taste/mini/data/token_list/bpe/bpe.model
python -m benchmarks.padding  # lengths like LibriTTS'

Batches are those of ESPnet's samplers. A part's share is of the positions that it
computes: padding / (batch x longest).
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from espnet2.samplers.build_batch_sampler import build_batch_sampler

from espnet2_taste.io.arks import read_arks
from espnet2_taste.io.tables import read_table
from espnet2_taste.text.segmenters import SEGMENTERS
from espnet2_taste.text.tokenizers import build_text_tokenizer

TYPES = ("unsorted", "sorted", "numel")


def of_data(folder: Path, tokenizer) -> dict[str, np.ndarray]:
    """Samples, words, tokens and units of each utterance of a data directory."""
    texts = read_table(folder / "text")
    samples = read_table(folder / "utt2num_samples")
    units = read_arks(folder / "units.scp")
    words = {key: SEGMENTERS["whitespace"].split(text) for key, text in texts.items()}
    return {
        "samples": np.array([int(samples[key]) for key in texts]),
        "words": np.array([len(words[key][0]) for key in texts]),
        "tokens": np.array(
            [len(tokenizer.encode_words(*words[key])[0]) for key in texts]
        ),
        "units": np.array([len(units[key]) for key in texts]),
    }


def like_libritts(size: int = 40000) -> dict[str, np.ndarray]:
    """Made-up lengths: 585 h in 375 000 utterances are 5.6 s each. That their logarithm
    is normal with a deviation of .7 is assumed, as are 2.7 +- .4 words a second, words
    of one token (78 %), two (16 %) or three, and 50 units a second."""
    random = np.random.default_rng(0)
    seconds = np.clip(random.lognormal(np.log(5.6) - 0.7**2 / 2, 0.7, size), 0.4, 30)
    words = np.ceil(seconds * random.normal(2.7, 0.4, size).clip(1)).astype(int)
    more = random.choice(3, words.sum(), p=[0.78, 0.16, 0.06])
    tokens = words + np.add.reduceat(more, np.cumsum([0, *words[:-1]]))
    samples, units = ((rate * seconds).astype(int) for rate in (16000, 50))
    return {"samples": samples, "words": words, "tokens": tokens, "units": units}


def batches(kind: str, lengths: np.ndarray, size: int) -> list[np.ndarray]:
    """Places of the utterances of each batch; ``numel``'s have ``size`` on average."""
    order = np.random.default_rng(0).permutation(len(lengths))  # of the data, any
    with tempfile.TemporaryDirectory() as folder:
        shapes = Path(folder, "shape")
        shapes.write_text("".join(f"{i} {lengths[i]}\n" for i in order))
        sampler = build_batch_sampler(
            type=kind,
            batch_size=size,
            batch_bins=int(size * lengths.mean()),
            shape_files=[str(shapes)],
        )
        return [np.array([int(i) for i in batch]) for batch in sampler]


def padding(groups: Sequence[np.ndarray], lengths: np.ndarray) -> float:
    """Share of the positions of these batches."""
    positions = sum(len(group) * int(lengths[group].max()) for group in groups)
    return 1 - lengths.sum() / positions


def table(found: dict[str, np.ndarray], tokenizer_size: int, lm_size: int) -> str:
    """Markdown: a row per part and what its batches are sorted by, a column per type.

    Args:
        found: of :func:`of_data`.
        tokenizer_size: utterances of a batch of the tokenizer's training.
        lm_size: of the TASLM's.
    """
    spoken = found["tokens"] + 3 + found["units"]
    parts = (
        ("encoder", "samples", found["samples"], tokenizer_size),
        ("speech decoder, text + units", "samples", spoken, tokenizer_size),
        ("TASLM", "words", found["tokens"] + 2, lm_size),
        ("TASLM", "tokens", found["tokens"] + 2, lm_size),
    )
    lines = [
        f"| part (lengths known to the sampler) | batch | {' | '.join(TYPES)} |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, by, lengths, size in parts:
        shares = (padding(batches(kind, found[by], size), lengths) for kind in TYPES)
        cells = " | ".join(f"{100 * share:.1f} %" for share in shares)
        lines.append(f"| {name} ({by}) | {size} | {cells} |")
    return "\n".join(lines)


def main(cmd: Sequence[str] | None = None) -> str:
    """Print the table, and return it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data_dir", type=Path, help="with text, utt2num_samples, units.scp")
    add("--token_type", default="bpe", help="of its text")
    add("--token_model", help="likewise")
    add("--batch_size", type=int, default=16, help="of the tokenizer's training")
    add("--lm_batch_size", type=int, default=32, help="of the TASLM's")
    args = parser.parse_args(cmd)
    if args.data_dir is None:
        found = like_libritts()
    else:
        tokenizer = build_text_tokenizer(args.token_type, args.token_model)
        found = of_data(args.data_dir, tokenizer)
    text = table(found, args.batch_size, args.lm_batch_size)
    print(text)
    return text


if __name__ == "__main__":
    main()
