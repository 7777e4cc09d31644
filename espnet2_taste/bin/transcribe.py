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
    from espnet2_taste.io.shards import Shard
    from espnet2_taste.io.tables import read_selected, read_table

    wavs = read_selected(args.data_dir / "wav.scp", args.key_file)
    text = args.data_dir / "text"
    known = {}
    if text.is_file() and not args.overwrite:
        there = read_table(text, allow_empty=True, keys=wavs)
        known = {utt: words for utt, words in there.items() if words}
    missing = [utt for utt in sorted(wavs) if utt not in known]
    if missing and args.asr == NONE:
        raise ValueError(f"{len(missing)} utterances have no text: give --asr")
    shard = Shard(args, tables=["text"])
    if shard.done:
        return
    shard.rows = {utt: {"text": words} for utt, words in known.items()}
    if missing:
        recogniser = load_recogniser(args.asr, device=args.device, **asr_conf(args))
        logging.info("%d utterances, by %s", len(missing), recogniser.identity)
    for keys in shard.batches(missing):
        audio = {}
        for utt in keys:
            try:
                audio[utt] = read_audio(wavs[utt], utt, recogniser.sample_rate)
            except (OSError, ValueError) as error:
                logging.warning("no transcript of %s", error)
        heard = recogniser(list(audio.values())) if audio else []
        said = dict(zip(audio, heard, strict=True))
        for utt in keys:
            shard.write(utt, {"text": " ".join(said.get(utt, "").split())})
    empty = [utt for utt, row in shard.rows.items() if not row["text"]]
    if empty:
        logging.warning(
            "%s: nothing recognised in %d of %d utterances, e.g. %s",
            args.output_dir,
            len(empty),
            len(shard.rows),
            empty[0],
        )


if __name__ == "__main__":
    run(main)
