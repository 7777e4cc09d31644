"""Speech alone to text and codes: with another recogniser, and with the built-in one.

    python -m benchmarks.hearing --data_dir dump/raw/test \\
        --model_file exp/taste_rvq_ctc/valid.loss.best.pth \\
        --asr pocketsphinx --grammar data/local/grammar.jsgf

Both make codes of what they hear, one utterance at a time; the first is not timed.
"""

import argparse
from itertools import islice
from pathlib import Path

import torch

from benchmarks.measure import Timer
from espnet2_taste.asr.recognisers import load_recogniser
from espnet2_taste.bin.measure_options import add_asr_options, asr_conf
from espnet2_taste.bin.numbers import positive
from espnet2_taste.inference.speech_to_taste import SpeechToTaste
from espnet2_taste.io.audio import read_audio
from espnet2_taste.io.tables import read_table


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--data_dir", type=Path, required=True, help="wav.scp")
    add("--model_file", type=Path, required=True, help="with a CTC head")
    add_asr_options(parser)
    add("--beam", type=positive, default=8, help="of the third row; first two: greedy")
    add("--count", type=positive, default=16, help="utterances")
    add("--repeats", type=positive, default=3)
    add("--device", default="cpu")
    return parser


def main(command: list[str] | None = None) -> None:
    """Print seconds and real-time factors."""
    args = get_parser().parse_args(command)
    tokenizer = SpeechToTaste(model_file=args.model_file, device=args.device)
    recogniser = load_recogniser(args.asr, **asr_conf(args))
    rate, table = tokenizer.sample_rate, read_table(args.data_dir / "wav.scp")
    some = islice(table.items(), args.count)
    wavs = [read_audio(entry, utt, rate) for utt, entry in some]

    def given(text: str) -> list[str]:  # silence would have no codes, which costs less
        return [text or "a"]

    def external() -> None:
        for wav in wavs:
            tokenizer.batch_tokenize([wav], given(recogniser([wav])[0]))

    def built_in(beam: int) -> None:
        tokenizer.beam = beam
        for wav in wavs:
            tokenizer(wav)

    timer = Timer(torch.device(args.device), args.repeats)
    times, _ = timer(
        external=external,
        built_in=lambda: built_in(1),
        beam=lambda: built_in(args.beam),
        codes=lambda: [tokenizer.batch_tokenize([wav], ["a"]) for wav in wavs],
    )
    speech = sum(map(len, wavs)) / rate
    print(f"{len(wavs)} utterances, {speech:.1f} s of speech\n")
    print("| text and codes | s | real-time factor |\n|---|---|---|")
    for name, label in (
        ("external", f"{args.asr}, then the tokenizer"),
        ("built_in", "built-in, greedy"),
        ("beam", f"built-in, {args.beam} prefixes"),
        ("codes", "the tokenizer alone, of one word"),
    ):
        print(f"| {label} | {times[name]:.2f} | {times[name] / speech:.4f} |")


if __name__ == "__main__":
    main()
