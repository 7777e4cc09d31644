"""Align words with an ESPnet CTC model: borders.scp, prosody.scp and words.ctm.

``borders`` are where words start, and the utterance ends (s): with units, which nothing
here needs, ``bin.durations`` makes durations of them.
``confidence`` says of each utterance, 0 to 1, how sure the alignment is; what is far
below the others (silence, the transcript of another recording) is counted and named.

Sharded: run it per key file, merge the shards into one folder, then run once with
``--speaker_mean --output_dir <that folder>``: in ``relative/prosody.scp`` log-F0 is
relative to the speaker's mean: that of ``--known``, the ``speakers.scp`` of the
training set, or for speakers who are not there, of this set.
"""

import argparse
import logging
from pathlib import Path

import numpy as np

from espnet2_taste.asr.speaker_mean import subtract_speaker_mean
from espnet2_taste.bin import command, run
from espnet2_taste.bin.options import (
    add_batch_options,
    add_data_options,
    add_device_option,
    add_segmenter_option,
)
from espnet2_taste.io.shards import Shard
from espnet2_taste.io.tables import read_table
from espnet2_taste.io.wav_dir import WavDir
from espnet2_taste.text.segmenters import SEGMENTERS

CONFIDENCE = "confidence"


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_options(parser, "wav.scp text utt2num_samples utt2spk")
    parser.add_argument("--speaker_mean", action="store_true", help="second step")
    parser.add_argument("--known", help="speakers.scp whose speakers keep their mean")
    parser.add_argument("--asr_config", help="config.yaml of the CTC model")
    parser.add_argument("--asr_model", help="checkpoint of the CTC model")
    add_batch_options(parser)
    add_segmenter_option(parser)
    add_device_option(parser)
    return parser


def report(folder: Path) -> None:
    """Say which alignments are doubtful: their confidence is below a tenth of the
    median."""
    file = folder / CONFIDENCE
    found = {k: float(v) for k, v in read_table(file).items()} if file.is_file() else {}
    if not found:
        return
    worst = sorted(found, key=found.get)
    median = float(np.median(list(found.values())))
    doubtful = [key for key in worst if found[key] < median / 10]
    logging.log(
        logging.WARNING if doubtful else logging.INFO,
        "%s: alignment confidence %.3g (median of %d utterances), %.3g at the worst "
        "(%s); %d below a tenth of the median (silence, or other words?)%s",
        file,
        median,
        len(found),
        found[worst[0]],
        worst[0],
        len(doubtful),
        ": " + ", ".join(doubtful[:20]) if doubtful else "",
    )


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    if args.speaker_mean:
        subtract_speaker_mean(args.data_dir, args.output_dir, args.known)
        report(args.output_dir)
        return
    if not args.asr_config or not args.asr_model:
        raise ValueError("give --asr_config and --asr_model, or --speaker_mean")
    from espnet2_taste.asr.ctc_aligner import CTCAligner
    from espnet2_taste.asr.ctc_alignment import word_times
    from espnet2_taste.asr.word_targets import word_prosody
    from espnet2_taste.units.world import f0_contour

    shard = Shard(args, ["borders", "prosody", "f0_sum"], ["words.ctm", CONFIDENCE])
    if shard.done:
        return
    data = WavDir(args.data_dir, args.key_file)
    texts, lengths = data.table("text"), data.lengths()
    segmenter = SEGMENTERS[args.segmenter]
    aligner = CTCAligner(args.asr_config, args.asr_model, args.device)
    rate = aligner.sample_rate
    for keys in shard.batches(lengths, data.ahead(rate)):
        wavs = data.read(keys, rate, shard)
        if not wavs:
            continue
        split = [segmenter.split(texts[key]) for key in wavs]
        aligned = aligner.word_spans(list(wavs.values()), *zip(*split, strict=True))
        found = zip(wavs.items(), split, aligned, strict=True)
        for (key, wav), (said, _), spans in found:
            if isinstance(spans, ValueError):
                shard.skip(key, f"not aligned: {spans}")
                continue
            times = word_times(spans[0], wav, rate)
            prosody, f0_sum = word_prosody(times, *f0_contour(wav, rate))
            timed = zip(said, times.starts, times.ends, strict=True)
            lines = [f"{key} 1 {s:.3f} {e - s:.3f} {word}" for word, s, e in timed]
            values = {"borders": times.borders, "prosody": prosody}
            values |= {"f0_sum": f0_sum.astype(np.float64), "words.ctm": lines}
            shard.write(key, values | {CONFIDENCE: f"{spans[1]:.4g}"})
    report(args.output_dir)


if __name__ == "__main__":
    run(main)
