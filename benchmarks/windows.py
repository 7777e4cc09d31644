"""What a Whisper hears in overlapping windows, beside what it hears in the whole.

    python -m benchmarks.windows --whisper openai/whisper-base --data_dir data/test

For each window and its past: the latency, and how near its keys and values (those that
enter ``--layer``) are to those of the whole utterance: mean cosine over frames.
"""

import argparse
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from espnet2_taste.bin.numbers import count, positive
from espnet2_taste.io.audio import read_audio
from espnet2_taste.io.tables import read_table
from espnet2_taste.taste.tokenizer.whisper_encoder import WhisperEncoder
from espnet2_taste.taste.tokenizer.whisper_mel import SAMPLE_RATE, WhisperMelFrontend
from espnet2_taste.taste.tokenizer.whisper_windows import WhisperWindows

WINDOWS = ((10, 8), (10, 9), (4, 3), (4, 2), (2, 1), (2, 0))


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--whisper", required=True, help="hub id or folder")
    add("--bins", type=positive, default=80, help="of mel; large-v3: 128")
    add("--data_dir", type=Path, required=True, help="wav.scp")
    add("--count", type=positive, default=12, help="recordings")
    add("--join", type=positive, default=3, help="utterances, one after the other")
    add("--layer", type=count, default=3, help="that the values enter")
    return parser


@torch.inference_mode()
def main(command: list[str] | None = None) -> None:
    """Print the table."""
    args = get_parser().parse_args(command)
    items = read_items(args)
    seconds = sum(map(len, items)) / SAMPLE_RATE
    print(f"{len(items)} recordings, {seconds:.0f} s; {args.whisper}\n")
    print("| window (s) | past (s) | latency (s) | keys | values |")
    print("|---|---|---|---|---|")
    options, bins = {"value_layer": args.layer, "model": args.whisper}, args.bins
    encoder = WhisperEncoder(bins, **options).eval()
    frontend = WhisperMelFrontend(bins, pad_to_30s=False)
    wholes = [encoder(*features(frontend, wav)) for wav in items]
    frontend.floor = False
    for window, past in WINDOWS:
        encoder.windows = WhisperWindows(window, past, 30)
        near = []
        for wav, whole in zip(items, wholes, strict=True):
            out = encoder(*features(frontend, wav))
            near.append([_cosine(out, whole, name) for name in ("keys", "values")])
        keys, values = np.mean(near, 0)
        cells = window, past, window - past, f"{keys:.3f}", f"{values:.3f}"
        print("|", " | ".join(map(str, cells)), "|", flush=True)


def features(frontend: WhisperMelFrontend, wav: torch.Tensor) -> tuple:
    """Of one utterance, and how many."""
    return frontend(wav[None], torch.tensor([len(wav)]))


def _cosine(one, other, name: str) -> float:
    """Mean over frames."""
    pair = (getattr(out, name) for out in (one, other))
    return torch.nn.functional.cosine_similarity(*pair, dim=-1).mean().item()


def read_items(args: argparse.Namespace) -> list[torch.Tensor]:
    """Waveforms of some utterances one after the other."""
    table = read_table(args.data_dir / "wav.scp")
    wavs = [
        torch.from_numpy(read_audio(entry, key, SAMPLE_RATE))
        for key, entry in islice(table.items(), args.count * args.join)
    ]
    return [
        torch.cat(wavs[begin : begin + args.join])
        for begin in range(0, len(wavs), args.join)
    ]


if __name__ == "__main__":
    main()
