"""Synthesise a data directory from text, speaker and (optionally) TASTE; or from units.

``--condition text`` is the text-only system; ``codes`` reads ``--taste``; ``speech``
takes the embeddings straight from the recordings (a model without quantiser), with
``--heard`` also the text, by the model's CTC head; ``units`` needs no model: a vocoder
says the units of the data directory again. Writes wav.scp, text (that of the data
directory) and heard, units.scp (as generated) and unit_spec.yaml, rtf.json and, where
the units are known, unit_accuracy.jsonl.
"""

import argparse
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.options import (
    add_batch_options,
    add_data_options,
    add_model_options,
    add_running_options,
    add_unit_sampling_options,
    add_vocoder_options,
    add_weights_option,
    load_vocoder_option,
    unit_sampling,
)


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_model_options(parser, "speech decoder", required=False)
    add_data_options(parser, "text spk_emb.scp [units.scp durations.scp wav.scp]")
    add = parser.add_argument
    conditions = ["text", "codes", "speech", "units"]
    add("--condition", default="text", choices=conditions)
    add("--taste", type=Path, help="taste.scp, for --condition codes")
    add("--units", type=Path, help="for --condition units (default: in --data_dir)")
    add("--spk_emb", type=Path, help="speakers (default: spk_emb.scp in --data_dir)")
    add_vocoder_options(parser)
    add_unit_sampling_options(parser)
    add(
        "--stream",
        action="store_true",
        help="decoder and vocoder hear of one word at a time",
    )
    add("--heard", action="store_true", help="say what the model hears, not the text")
    add_batch_options(parser)
    add_weights_option(parser)
    add_running_options(parser)
    return parser


def check(args: argparse.Namespace) -> None:
    """Refuse options that do not belong together.

    Raises:
        ValueError: says which.
    """
    if (args.condition == "codes") != bool(args.taste):
        raise ValueError("--taste and --condition codes belong together")
    if args.units and args.condition != "units":
        raise ValueError("--units is for --condition units")
    if args.stream and args.condition == "units":
        raise ValueError("--stream is of a speech decoder: not for --condition units")
    if args.slots and (args.stream or args.condition == "units"):
        raise ValueError("--slots is of a speech decoder that does not --stream")
    if args.cuda_graph and not args.slots:
        raise ValueError("--cuda_graph is of a running batch: give --slots")
    if args.heard and args.condition != "speech":
        raise ValueError("--heard is for --condition speech: there is a recording")
    if args.condition != "units" and not args.model_file:
        raise ValueError(f"--condition {args.condition}: give --model_file")


def array_files(args: argparse.Namespace) -> dict[str, Path]:
    """Name in a batch -> ``*.scp`` of what is read of each utterance.

    Known units of a test set are read too: teacher-forced accuracy is computed of them.
    """
    files = {"spk_emb": args.spk_emb or args.data_dir / "spk_emb.scp"}
    if args.condition == "units":
        return files | {"units": args.units or args.data_dir / "units.scp"}
    if args.taste:
        files["codes"] = args.taste
    if args.heard:  # the units are those of other words
        return files
    known = {name: args.data_dir / f"{name}.scp" for name in ("units", "durations")}
    return files | {name: path for name, path in known.items() if path.exists()}


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    import numpy as np
    import torch

    from espnet2_taste.inference.taste_to_speech import TasteToSpeech
    from espnet2_taste.io.arks import Codes, first_array, read_arks
    from espnet2_taste.io.audio import read_audio, write_wav
    from espnet2_taste.io.file_names import file_name
    from espnet2_taste.io.shards import Shard
    from espnet2_taste.io.tables import check_keys, read_selected, read_table
    from espnet2_taste.io.values import as_integers
    from espnet2_taste.nn.random_streams import item_seed
    from espnet2_taste.text.spelling import skip_unspelled
    from espnet2_taste.units.unit_spec import UnitSpec, check_fit

    check(args)
    copy, files = args.condition == "units", array_files(args)
    text = args.data_dir / "text"
    wanted = read_selected(files["units"] if copy else text, args.key_file)
    texts = {} if copy else wanted
    if copy and text.is_file():
        texts = read_table(text, keys=wanted)
    arks = {name: read_arks(path, wanted) for name, path in files.items()}
    wavs = {}
    if args.condition == "speech":
        wavs = read_table(args.data_dir / "wav.scp", keys=wanted)
        check_keys(args.data_dir / "wav.scp", wavs, wanted)
    measured = "units" in arks and not copy

    tables = ["wav.scp"] + ["text"] * bool(texts)
    tables += ["unit_accuracy.jsonl"] * measured + ["heard"] * args.heard
    shard = Shard(args, [] if copy else ["units"], tables, folders=["wav"])
    if shard.done:
        return
    vocoder = load_vocoder_option(args)
    if copy:
        order = sorted(wanted)
        check_fit(
            "the vocoder",
            vocoder.unit_spec,
            f"{files['units']} with {files['spk_emb']}",
            UnitSpec.beside(files["units"]),
            (vocoder.spk_embed_dim, len(first_array(files["spk_emb"]))),
        )
    else:
        synthesizer = TasteToSpeech(
            args.train_config,
            args.model_file,
            args.device,
            vocoder,
            sampling=unit_sampling(args),
            slots=args.slots,
            cuda_graph=args.cuda_graph,
            weights=args.weights,
        )
        if args.taste:
            synthesizer.preprocess.spec.check(args.taste)
            books = max(synthesizer.model.quantizer.num_codebooks, 1)
            arks["codes"] = Codes(args.taste, books, wanted)
        shard.files[UnitSpec.FILE] = synthesizer.unit_spec.text()
        words = synthesizer.preprocess.segmenter.words
        order = {key: len(words(texts[key])) for key in wanted}
    for keys in shard.batches(order):
        said, speech = texts, {}
        if wavs:
            rate = synthesizer.sample_rate
            speech = {key: read_audio(wavs[key], key, rate) for key in keys}
        if args.heard:
            with shard.clock("tokenizer"):
                found = synthesizer.transcribe(list(speech.values()), keys)
            said = dict(zip(keys, (text for text, _ in found), strict=True))
            for key in keys:
                if not said[key]:
                    shard.skip(key, "no speech was heard")
            keys = list(filter(said.get, keys))
            keys = skip_unspelled(keys, said, synthesizer.preprocess, shard)
            if not keys:
                continue
        loaded = {n: [np.array(table[k]) for k in keys] for n, table in arks.items()}
        rows = {key: {"text": texts[key]} if key in texts else {} for key in keys}
        if copy:
            sequences = [
                torch.from_numpy(as_integers(f"units of {key}", units))
                for key, units in zip(keys, loaded["units"], strict=True)
            ]
            speakers = torch.from_numpy(np.stack(loaded["spk_emb"]))
        else:
            if wavs:
                loaded["speech"] = [speech[key] for key in keys]
            batch = synthesizer.make_batch(
                [said[key] for key in keys], names=keys, **loaded
            )
            speakers = batch["spk_emb"].cpu()
            with shard.clock("speech_decoder"):
                cond = synthesizer.condition(batch)
                seeds = [item_seed(key) for key in keys]
                if args.stream:
                    pieces = list(synthesizer.stream_units(cond, seeds))
                else:
                    out = synthesizer.generate_units(cond, seeds)
                    lengths, units = out.lengths.tolist(), out.units.cpu()
                    pieces = [[u[:n] for u, n in zip(units, lengths, strict=True)]]
                # To the CPU before the clock stops: a GPU may still be at work.
                sequences = [torch.cat(row).cpu() for row in zip(*pieces, strict=True)]
            for key, units in zip(keys, sequences, strict=True):
                rows[key]["units"] = units.numpy().astype(np.int32)
            if measured:
                found = synthesizer.unit_accuracy(cond, batch)
                for key, shares in zip(keys, found, strict=True):
                    rows[key]["unit_accuracy.jsonl"] = shares
        with shard.clock("vocoder"):
            if args.stream:
                streams = vocoder.open_streams(speakers)
                sounds = [streams.push(new) for new in pieces] + [streams.finish()]
                waves = [torch.cat(row) for row in zip(*sounds, strict=True)]
            else:
                waves = vocoder(sequences, speakers)
        for key, wave in zip(keys, waves, strict=True):
            path = args.output_dir / "wav" / file_name(key, ".wav")
            write_wav(path, wave.numpy(), vocoder.sample_rate)
            rows[key]["wav.scp"] = str(path)
            if args.heard:
                rows[key]["heard"] = said[key]
            shard.write(key, rows[key], audio_s=len(wave) / vocoder.sample_rate)


if __name__ == "__main__":
    run(main)
