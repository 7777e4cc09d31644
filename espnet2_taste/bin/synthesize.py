"""Synthesise a data directory from text, speaker and (optionally) TASTE.

``--condition codes`` reads ``--taste``; ``speech`` takes the embeddings straight from
the recordings (a model without quantiser); ``text`` is the text-only system. Writes
wav.scp, text, units.scp (as generated), rtf.json and, where the units are known,
unit_accuracy.json.
"""

import argparse
import json
import logging
import time
from pathlib import Path

import numpy as np

from espnet2_taste.bin import command, run
from espnet2_taste.bin.options import (
    add_batch_options,
    add_data_options,
    add_model_options,
    add_unit_sampling_options,
    add_vocoder_options,
    load_vocoder_option,
)
from espnet2_taste.io.kaldi import (
    ArkWriter,
    check_keys,
    length_batches,
    read_arks,
    read_table,
    read_wav,
    select_keys,
    write_table,
    write_wav,
)
from espnet2_taste.nn.random_streams import item_seed

SAMPLE_RATE = 16000


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_model_options(parser, "speech decoder")
    add_data_options(parser, "text spk_emb.scp")
    parser.add_argument(
        "--condition", default="text", choices=["text", "codes", "speech"]
    )
    parser.add_argument("--taste", help="taste.scp, for --condition codes")
    add_vocoder_options(parser)
    add_unit_sampling_options(parser)
    add_batch_options(parser)
    return parser


class TeacherForcedAccuracy:
    """Top-1/top-5 unit accuracy of each utterance whose units are known."""

    def __init__(self):
        self.utterances: dict[str, dict[str, float]] = {}

    def add(self, keys, model, cond, batch) -> None:
        """Score a batch that has ``units`` (and ``durations``)."""
        import torch

        from espnet2_taste.taste.auxiliary import unit_accuracy

        with torch.inference_mode():
            out = model.speech_decoder(
                cond, batch["units"], batch["units_lengths"], batch.get("durations")
            )
            num_units = model.speech_decoder.num_units
            for i, key in enumerate(keys):
                logits, targets = out.logits[i : i + 1], out.targets[i : i + 1]
                count = int(((targets >= 0) & (targets < num_units)).sum())
                top1, top5 = map(float, unit_accuracy(logits, targets, num_units))
                self.utterances[key] = {"top1": top1, "top5": top5, "count": count}

    def write(self, path: Path) -> None:
        """``{utterance: {"top1": .., "top5": .., "count": ..}}``."""
        path.write_text(json.dumps(self.utterances))


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    if (args.condition == "codes") != bool(args.taste):
        raise ValueError("--taste and --condition codes belong together")
    from espnet2_taste.inference.taste_to_speech import TasteToSpeech
    from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling

    texts = select_keys(read_table(args.data_dir / "text"), args.key_file)
    arks = {"spk_emb": args.data_dir / "spk_emb.scp"}
    if args.taste:
        arks["codes"] = Path(args.taste)
    # Known units (a test set, not a continuation): teacher-forced accuracy as well.
    for name in ("units", "durations"):
        if (args.data_dir / f"{name}.scp").exists():
            arks[name] = args.data_dir / f"{name}.scp"
    arks = {name: read_arks(path, texts) for name, path in arks.items()}
    wavs = {}
    if args.condition == "speech":
        wavs = read_table(args.data_dir / "wav.scp")
        check_keys(args.data_dir / "wav.scp", wavs, texts)

    synthesizer = TasteToSpeech(
        args.train_config,
        args.model_file,
        args.device,
        sampling=Sampling(args.top_k, args.temperature, args.seed),
    )
    vocoder = load_vocoder_option(args)
    accuracy = TeacherForcedAccuracy() if "units" in arks else None
    units, wav_scp = {}, {}
    decoder_s = vocoder_s = audio_s = 0.0
    lengths = {key: len(text.split()) for key, text in texts.items()}
    for keys in length_batches(lengths, args.batch_size):
        loaded = {n: [np.array(table[k]) for k in keys] for n, table in arks.items()}
        if wavs:
            loaded["speech"] = [read_wav(wavs[key], SAMPLE_RATE) for key in keys]
        batch = synthesizer.make_batch(
            [texts[key] for key in keys], names=keys, **loaded
        )
        start = time.perf_counter()
        cond = synthesizer.condition(batch)
        generated = synthesizer.generate_units(cond, [item_seed(key) for key in keys])
        # To the CPU before the clock is read: a GPU may still be at work.
        sequences = [
            u[:n]
            for u, n in zip(
                generated.units.cpu(), generated.lengths.tolist(), strict=True
            )
        ]
        decoder_s += time.perf_counter() - start
        if accuracy is not None:
            accuracy.add(keys, synthesizer.model, cond, batch)
        start = time.perf_counter()
        waves = vocoder(sequences, batch["spk_emb"].cpu())
        vocoder_s += time.perf_counter() - start
        for i, key in enumerate(keys):
            path = (args.output_dir / "wav" / f"{key}.wav").absolute()
            write_wav(path, waves[i].numpy(), vocoder.sample_rate)
            audio_s += len(waves[i]) / vocoder.sample_rate
            units[key], wav_scp[key] = sequences[i].numpy().astype(np.int32), str(path)
        logging.info("%d/%d utterances synthesised", len(units), len(texts))
    with ArkWriter(args.output_dir, "units") as writer:
        for key in sorted(units):
            writer[key] = units[key]
    if accuracy is not None:
        accuracy.write(args.output_dir / "unit_accuracy.json")
    rtf = {
        "speech_decoder_rtf": decoder_s / max(audio_s, 1e-9),
        "vocoder_rtf": vocoder_s / max(audio_s, 1e-9),
        "seconds": audio_s,
    }
    (args.output_dir / "rtf.json").write_text(json.dumps(rtf))
    write_table(args.output_dir / "text", texts)
    write_table(args.output_dir / "wav.scp", wav_scp)


if __name__ == "__main__":
    run(main)
