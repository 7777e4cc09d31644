"""Exchange the TASTE codes of words between two utterances of the same text.

Writes <first>.wav and <second>.wav (resynthesised as they are), <first>_edited.wav and
<second>_edited.wav (with each other's codes at the chosen words), wav.scp, text and
taste.scp of the four.
"""

import argparse
import logging

from espnet2_taste.bin import command, run
from espnet2_taste.bin.numbers import count
from espnet2_taste.bin.options import (
    add_data_options,
    add_model_options,
    add_unit_sampling_options,
    add_vocoder_options,
    load_vocoder_option,
    unit_sampling,
)


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_model_options(parser, "tokenizer and speech decoder")
    add_data_options(parser, "wav.scp text spk_emb.scp")
    parser.add_argument("--first", required=True, help="utterance id")
    parser.add_argument("--second", required=True, help="another one of the same text")
    parser.add_argument(
        "--words", type=count, nargs="+", required=True, help="indices, 0 is the first"
    )
    add_vocoder_options(parser)
    add_unit_sampling_options(parser)
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    import numpy as np

    from espnet2_taste.inference.edit import Reading, TasteEdit
    from espnet2_taste.io.arks import ArkWriter, read_arks
    from espnet2_taste.io.audio import read_audio, write_wav
    from espnet2_taste.io.file_names import file_name
    from espnet2_taste.io.tables import read_table, write_table

    keys = (args.first, args.second)
    if len({*keys, *(f"{key}_edited" for key in keys)}) < 4:
        raise ValueError(f"{keys[0]} and {keys[1]} would write the same files")
    texts = read_table(args.data_dir / "text")
    wavs = read_table(args.data_dir / "wav.scp")
    speakers = read_arks(args.data_dir / "spk_emb.scp")
    for key in keys:
        if not (key in texts and key in wavs and key in speakers):
            raise ValueError(
                f"{args.data_dir}: {key} is not in text, wav.scp and spk_emb.scp"
            )
    editor = TasteEdit(
        args.train_config,
        args.model_file,
        args.device,
        vocoder=load_vocoder_option(args),
        sampling=unit_sampling(args),
    )
    results = editor(
        *(
            Reading(
                read_audio(wavs[key], key, editor.sample_rate),
                texts[key],
                speakers[key],
                key,
            )
            for key in keys
        ),
        words=args.words,
        seed=args.seed,
    )
    made = {}
    for key, result in zip(keys, results, strict=True):
        made[key] = (result.tokens, result.speech)
        made[f"{key}_edited"] = (result.edited_tokens, result.edited_speech)
    with ArkWriter(args.output_dir, "taste") as taste:
        for name in sorted(made):
            taste[name] = made[name][0].codes.numpy().astype(np.int32).reshape(-1)
    paths = {}
    for name, (_, speech) in made.items():
        path = (args.output_dir / file_name(name, ".wav")).absolute()
        write_wav(path, speech.wav.numpy(), speech.sample_rate)
        paths[name] = str(path)
    write_table(args.output_dir / "text", dict.fromkeys(made, texts[args.first]))
    write_table(args.output_dir / "wav.scp", paths)
    words = results[0].tokens.words
    chosen = " ".join(words[word] for word in args.words)
    logging.info("%s and %s exchanged: %s", *keys, chosen)


if __name__ == "__main__":
    run(main)
