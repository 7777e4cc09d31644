"""Transcribe the utterances of a data directory that have no text.

Writes to ``--output_dir`` (which may be ``--data_dir``) ``text``: the transcripts there
are, and the recogniser's of the others; and ``transcripts.jsonl``: of each of those,
language, log-probability and what else the recogniser says of it. Nothing recognised
is an empty line; such utterances are counted here, dropped by bin.format_wav and
bin.take_transcripts, and make their pair of a likelihood test a tie.
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
    from espnet2_taste.asr.transcript import NAMED, TABLE
    from espnet2_taste.corpora.abs_corpus import tidy_text
    from espnet2_taste.io.shards import Shard
    from espnet2_taste.io.tables import read_table
    from espnet2_taste.io.wav_dir import WavDir

    data = WavDir(args.data_dir, args.key_file)
    text = args.data_dir / "text"
    known = {}
    if text.is_file() and not args.overwrite:
        there = read_table(text, allow_empty=True, keys=data.wavs)
        known = {utt: words for utt, words in there.items() if words}
    missing = {utt: 0 for utt in sorted(data.wavs) if utt not in known}
    if missing and args.asr == NONE:
        raise ValueError(f"{len(missing)} utterances have no text: give --asr")
    shard = Shard(args, tables=["text", TABLE])
    if shard.done:
        return
    shard.rows = {utt: {"text": words} for utt, words in known.items()}
    if missing:
        recogniser = load_recogniser(args.asr, device=args.device, **asr_conf(args))
        shard.files[NAMED] = f"{recogniser.identity}\n"
        logging.info("%d utterances, by %s", len(missing), recogniser.identity)
    if (args.data_dir / "utt2num_samples").is_file():
        missing = {utt: n for utt, n in data.lengths().items() if utt in missing}
    rate = recogniser.sample_rate if missing else 0
    for keys in shard.batches(missing, data.ahead(rate)):
        audio = {}
        for utt in keys:
            wav, problem = data.read_one(utt, rate)
            if wav is None:
                logging.warning("no transcript of %s: %s", utt, problem)
                shard.write(utt, {"text": ""})
            else:
                audio[utt] = wav
        if not audio:
            continue
        with shard.clock("recogniser"):
            heard = recogniser.transcribe(list(audio.values()))
        for (utt, wav), transcript in zip(audio.items(), heard, strict=True):
            said = {"text": tidy_text(transcript.text), TABLE: transcript.details()}
            shard.write(utt, said, len(wav) / rate)
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
