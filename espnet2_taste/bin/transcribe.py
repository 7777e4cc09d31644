"""Transcribe the utterances of a data directory that have no text.

Writes ``text`` to ``--output_dir`` (which may be ``--data_dir``): the transcripts there
are, and the recogniser's of the others. Nothing recognised is an empty line; such
utterances are counted here, dropped by bin.format_wav, and make their pair of a
likelihood test a tie.
"""

import argparse
import logging

from espnet2_taste.bin import command, run
from espnet2_taste.bin.measure_options import NONE, add_asr_options, asr_conf
from espnet2_taste.bin.options import (
    add_batch_options,
    add_data_options,
    add_device_option,
)


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_options(parser, "wav.scp [text]; any rate and channels")
    add_asr_options(parser)
    add_device_option(parser)
    add_batch_options(parser, batch_size=8)
    parser.add_argument("--overwrite", action="store_true", help="all utterances")
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    from espnet2_taste.asr.recognisers import load_recogniser
    from espnet2_taste.io.audio import read_audio
    from espnet2_taste.io.datadir import read_lines
    from espnet2_taste.io.kaldi import read_table, select_keys, write_table

    wavs = select_keys(read_table(args.data_dir / "wav.scp"), args.key_file)
    known = args.data_dir / "text"
    text = {}
    if known.is_file() and not args.overwrite:
        text = {u: t for u, t in read_lines(known).items() if t and u in wavs}
    missing = [utt for utt in sorted(wavs) if utt not in text]
    if missing:
        if args.asr == NONE:
            raise ValueError(f"{len(missing)} utterances have no text: give --asr")
        recogniser = load_recogniser(args.asr, device=args.device, **asr_conf(args))
        logging.info("%d utterances, by %s", len(missing), recogniser.identity)
    for start in range(0, len(missing), args.batch_size):
        audio = {}
        for utt in missing[start : start + args.batch_size]:
            text[utt] = ""
            try:
                audio[utt] = read_audio(wavs[utt], utt)
            except (OSError, ValueError) as error:
                logging.warning("no transcript of %s", error)
        heard = recogniser(list(audio.values())) if audio else []
        text |= {u: " ".join(t.split()) for u, t in zip(audio, heard, strict=True)}
        done = min(start + args.batch_size, len(missing))
        logging.info("%d of %d utterances", done, len(missing))
    args.output_dir.mkdir(parents=True, exist_ok=True)
    write_table(args.output_dir / "text", text)
    empty = [utt for utt, words in text.items() if not words]
    if empty:
        logging.warning(
            "%s: nothing recognised in %d of %d utterances, e.g. %s",
            args.output_dir,
            len(empty),
            len(text),
            empty[0],
        )


if __name__ == "__main__":
    run(main)
