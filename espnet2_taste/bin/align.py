"""Align words with an ESPnet CTC model: durations.scp, prosody.scp and words.ctm.

Sharded: run it per key file, merge the shards into one folder, then run once with
``--speaker_mean --output_dir <that folder>``: log-F0 becomes relative to the speaker's
mean and ``prosody.scp`` appears in the data directory.
"""

import argparse
import logging
from pathlib import Path

import kaldiio
import numpy as np

from espnet2_taste.asr.ctc_aligner import SAMPLE_RATE, CTCAligner
from espnet2_taste.asr.ctc_alignment import unit_durations, word_prosody, word_times
from espnet2_taste.bin import command, run
from espnet2_taste.bin.options import add_device_option
from espnet2_taste.io.atomic import write_lines
from espnet2_taste.io.kaldi import (
    ArkWriter,
    length_batches,
    read_table,
    read_wav,
    select_keys,
    write_table,
)


def align_directory(args: argparse.Namespace) -> None:
    """Write durations, prosody, words.ctm and log-F0 sums of one shard."""
    from espnet2_taste.units.world import f0_contour

    wavs = select_keys(read_table(args.data_dir / "wav.scp"), args.key_file)
    texts = read_table(args.data_dir / "text")
    units = kaldiio.load_scp(str(args.data_dir / "units.scp"))
    samples = read_table(args.data_dir / "utt2num_samples")
    aligner = CTCAligner(args.asr_config, args.asr_model, args.device)
    rows, failed = {}, []
    batches = list(
        length_batches({key: int(samples[key]) for key in wavs}, args.batch_size)
    )
    for number, keys in enumerate(batches, 1):
        waves = [read_wav(wavs[key], SAMPLE_RATE) for key in keys]
        words = [texts[key].split() for key in keys]
        starts = aligner.word_starts(waves, words)
        for key, wav, times in zip(keys, waves, starts, strict=True):
            try:
                if isinstance(times, ValueError):
                    raise times
                times = word_times(times, wav, SAMPLE_RATE)
                durations = unit_durations(times, len(units[key]))
            except ValueError as error:
                failed.append(key)
                logging.warning("%s: not aligned, dropped: %s", key, error)
                continue
            prosody, f0_sum = word_prosody(times, *f0_contour(wav, SAMPLE_RATE))
            rows[key] = (times, durations, prosody, f0_sum)
        if number % 20 == 0 or number == len(batches):
            logging.info("aligned %d/%d batches", number, len(batches))
    if not rows:
        raise RuntimeError(f"no utterance of {args.data_dir} could be aligned")
    with (
        ArkWriter(args.output_dir, "durations") as durations,
        ArkWriter(args.output_dir, "prosody") as prosody,
        ArkWriter(args.output_dir, "f0_sum") as sums,
    ):
        for key in sorted(rows):
            durations[key] = rows[key][1]
            prosody[key] = rows[key][2]
            sums[key] = rows[key][3].astype(np.float64)
    write_ctm(args.output_dir / "words.ctm", rows, texts)
    logging.info("aligned %d utterances, dropped %d", len(rows), len(failed))


def write_ctm(path: Path, rows: dict, texts: dict[str, str]) -> None:
    """``utt 1 start duration word`` lines, sorted by utterance."""
    lines = []
    for key in sorted(rows):
        times = rows[key][0]
        for word, start, end in zip(
            texts[key].split(), times.starts, times.ends, strict=True
        ):
            lines.append(f"{key} 1 {start:.3f} {end - start:.3f} {word}")
    write_lines(path, lines)


def subtract_speaker_mean(data_dir: Path, raw_dir: Path) -> None:
    """Make column 0 of prosody relative to the speaker's mean log-F0.

    Reads ``prosody.scp`` and ``f0_sum.scp`` merged in ``raw_dir``, writes
    ``data_dir/prosody.scp``.
    """
    speakers = read_table(data_dir / "utt2spk")
    sums = kaldiio.load_scp(str(raw_dir / "f0_sum.scp"))
    prosody = kaldiio.load_scp(str(raw_dir / "prosody.scp"))
    totals: dict[str, np.ndarray] = {}
    for key in sums:
        speaker = speakers[key]
        totals[speaker] = totals.get(speaker, np.zeros(2)) + sums[key]
    with ArkWriter(raw_dir / "relative", "prosody") as writer:
        for key in sorted(prosody):
            total = totals[speakers[key]]
            rows = np.array(prosody[key])
            if sums[key][1]:
                rows[:, 0] -= np.float32(total[0] / total[1])
            writer[key] = rows
    write_table(
        data_dir / "prosody.scp", read_table(raw_dir / "relative" / "prosody.scp")
    )


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--speaker_mean", action="store_true", help="second step")
    parser.add_argument("--asr_config", help="config.yaml of the CTC model")
    parser.add_argument("--asr_model", help="checkpoint of the CTC model")
    parser.add_argument("--key_file", help="utterances of this shard")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--batch_size", type=int, default=32)
    add_device_option(parser)
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    if args.speaker_mean:
        subtract_speaker_mean(args.data_dir, args.output_dir)
    else:
        align_directory(args)


if __name__ == "__main__":
    run(main)
