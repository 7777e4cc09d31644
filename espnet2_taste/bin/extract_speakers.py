"""Speaker embeddings of a data directory -> spk_emb.ark, spk_emb.scp.

Two modes: with --model, one embedding an utterance from its audio (shardable with
--key_file); with --average speaker --spk_emb, a second and final step on the merged
spk_emb.scp: every utterance gets the mean embedding of its speaker (--average
utterance: keeps its own), speakers.scp has the means and spk_embed_dim the width. With
--known, the speakers.scp of the training set, a speaker of that set has the same mean
everywhere.
"""

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from espnet2_taste.bin import command, run
from espnet2_taste.bin.options import (
    add_batch_options,
    add_data_options,
    add_device_option,
    add_part_type,
)


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    from espnet2_taste.speaker import speaker_choices

    parser = argparse.ArgumentParser(description=__doc__)
    add_data_options(parser, "wav.scp utt2spk [utt2num_samples], in dump/raw")
    add_part_type(parser, "--model_type", speaker_choices, "--speaker_conf")
    parser.add_argument(
        "--model", help="folder or file of the encoder, or packed model"
    )
    add_batch_options(parser, batch_size=16)
    add_device_option(parser)
    parser.add_argument(
        "--average", default="none", choices=["none", "speaker", "utterance"]
    )
    parser.add_argument("--spk_emb", help="--average: spk_emb.scp of the whole data")
    parser.add_argument("--known", help="speakers.scp whose speakers keep their mean")
    return parser


def extract(args: argparse.Namespace) -> None:
    """One embedding an utterance, from audio."""
    import torch

    from espnet2_taste.io.models import find_part
    from espnet2_taste.io.shards import Shard
    from espnet2_taste.io.values import NO_NUMBERS, only_numbers
    from espnet2_taste.io.wav_dir import WavDir
    from espnet2_taste.speaker import load_speaker_encoder

    shard = Shard(args, arks=["spk_emb"])
    if shard.done:
        return
    choice, path = find_part(args.model, "speaker") or (args.model_type, args.model)
    encoder = load_speaker_encoder(
        choice, path, device=args.device, **args.speaker_conf
    )
    data = WavDir(args.data_dir, args.key_file)
    for keys in shard.batches(data.order(), data.ahead(encoder.sample_rate)):
        wavs = data.read(keys, encoder.sample_rate, shard)
        if not wavs:
            continue
        with shard.clock("speaker_encoder"):
            embeddings = encoder([torch.from_numpy(wav) for wav in wavs.values()])
        for (key, wav), embedding in zip(wavs.items(), embeddings, strict=True):
            if not only_numbers(embedding):
                shard.skip(key, f"its embedding holds {NO_NUMBERS}")
                continue
            audio_s = len(wav) / encoder.sample_rate
            shard.write(key, {"spk_emb": embedding.numpy()}, audio_s)


def average(args: argparse.Namespace) -> None:
    """The speaker's mean, or its own vector, for each utterance."""
    from espnet2_taste.io.arks import ArkWriter, load_array, read_arks
    from espnet2_taste.io.atomic import write_text
    from espnet2_taste.io.sorted_tables import join, sorted_entries
    from espnet2_taste.speaker.average import speaker_means

    if Path(args.spk_emb).resolve().parent == args.output_dir.resolve():
        raise ValueError(
            f"--output_dir {args.output_dir} holds --spk_emb {args.spk_emb}: a killed "
            "run would destroy it; write elsewhere"
        )
    skipped: dict[str, str] = {}

    def usable() -> Iterator[tuple[str, str, np.ndarray]]:
        """Utterance, speaker and embedding: one after the other, they may be many."""
        speakers = sorted_entries(args.data_dir / "utt2spk")
        tables = {"spk_emb": sorted_entries(args.spk_emb), "utt2spk": speakers}
        for key, row in join(tables):
            if "spk_emb" not in row or key in skipped:
                continue
            if "utt2spk" not in row:
                raise ValueError(f"{key} has an embedding but no speaker in utt2spk")
            try:
                vector = load_array(f"{args.spk_emb}: {key}", row["spk_emb"])
            except ValueError as error:  # it must not be its speaker's mean
                skipped[key] = str(error)
                logging.warning("skipped %s: %s", key, error)
                continue
            yield key, row["utt2spk"], vector

    means = speaker_means((speaker, vector) for _, speaker, vector in usable())
    if not means:
        raise ValueError(f"{args.spk_emb} has no usable embedding")
    if args.known:
        known = read_arks(args.known)  # of speakers, who are few
        means |= {speaker: known[speaker] for speaker in means if speaker in known}
    count = 0
    with (
        ArkWriter(args.output_dir, "speakers") as speakers,
        ArkWriter(args.output_dir, "spk_emb") as writer,
    ):
        for speaker in sorted(means):
            speakers[speaker] = means[speaker]
        for key, speaker, vector in usable():
            own = args.average == "utterance"
            writer[key] = vector if own else means[speaker]
            count += 1
    width = len(next(iter(means.values())))
    write_text(args.output_dir / "spk_embed_dim", f"{width}\n")
    logging.info(
        "%d utterances of %d speakers, %d skipped%s",
        count,
        len(means),
        len(skipped),
        ": " + ", ".join(skipped) if skipped else "",
    )


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    if args.average != "none":
        if args.spk_emb is None or args.model is not None:
            raise ValueError(f"--average {args.average} takes --spk_emb, not --model")
        average(args)
    else:
        if args.model is None or args.spk_emb is not None:
            raise ValueError("--model is needed (--spk_emb is for --average)")
        extract(args)


if __name__ == "__main__":
    run(main)
