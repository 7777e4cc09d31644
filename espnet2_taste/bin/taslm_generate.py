"""Continue the first words of each utterance of a data directory with a TASLM.

Writes a data directory of the generated part: text, taste.scp, spk_emb.scp (where there
is one), utt2spk, taste_spec.yaml; also prompt_text and rtf.json. A prompt
is the first words with their codes (``--mode audio``) or alone (``text``), the whole
utterance between two texts (``instruct``), or nothing (``zero``). First words are
``--prompt_words`` of them, those that end within ``--prompt_seconds``, or all
(``--whole_prompts``: questions). With ``--mode chat`` the utterances are dialogues, as
``bin.dialogue`` makes them, and what is generated is the assistant's answer to the last
turn that is not its own.
``--prompt_codes shuffled`` is the control: same prompt text, but each row of codes is a
random one of another utterance.
"""

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.numbers import count, positive, real, seed
from espnet2_taste.bin.options import (
    add_batch_options,
    add_data_options,
    add_model_options,
    add_running_options,
    add_weights_option,
)
from espnet2_taste.text.chat_template import TEMPLATES


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_model_options(parser, "TASLM")
    add_data_options(parser, "text utt2spk [spk_emb.scp]")
    parser.add_argument("--config", help="YAML of sampling options (decode_taslm.yaml)")
    parser.add_argument("--taste", help="taste.scp of these utterances")
    parser.add_argument(
        "--mode",
        default="audio",
        choices=["audio", "text", "instruct", "zero", "chat"],
        help="what prompts are",
    )
    parser.add_argument(
        "--instruction",
        nargs=2,
        default=("", ""),
        metavar=("BEFORE", "AFTER"),
        help="plain text around the prompts of --mode instruct",
    )
    length = parser.add_mutually_exclusive_group()
    parser.add_argument(
        "--chat_template",
        choices=list(TEMPLATES),
        help="of --mode chat (default: that of the training)",
    )
    length.add_argument("--prompt_words", type=count, default=4)
    length.add_argument(
        "--prompt_seconds",
        type=real(0, 1e7, above=True),
        help="words that end by then (needs --ctm)",
    )
    length.add_argument(
        "--whole_prompts", action="store_true", help="prompts are whole utterances"
    )
    parser.add_argument("--ctm", type=Path, help="word times of these utterances")
    parser.add_argument(
        "--max_new_words", type=positive, help="default: what --config says, or 8"
    )
    parser.add_argument("--prompt_codes", default="own", choices=["own", "shuffled"])
    parser.add_argument("--seed", type=seed, default=0)
    add_batch_options(parser)
    add_weights_option(parser)
    add_running_options(parser)
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    import numpy as np

    from espnet2_taste.inference.taslm_generate import TaslmGenerate
    from espnet2_taste.io.arks import read_arks
    from espnet2_taste.io.config import read_yaml
    from espnet2_taste.io.shards import Shard
    from espnet2_taste.io.tables import check_keys, read_selected, read_table
    from espnet2_taste.taste.taste_spec import TasteSpec

    if args.cuda_graph and not args.slots:
        raise ValueError("--cuda_graph is of a running batch: give --slots")
    spoken = args.mode in ("audio", "instruct", "chat")
    if spoken and args.taste is None:
        raise ValueError(f"--mode {args.mode} needs --taste")
    text = read_selected(args.data_dir / "text", args.key_file)
    options = read_yaml(args.config) if args.config else {}
    limits = {"max_words", "max_tokens", "extra_words"}
    if args.max_new_words or not options.keys() & limits:
        options["max_words"] = args.max_new_words or 8
    options["seed"] = args.seed
    voices = args.data_dir / "spk_emb.scp"  # absent: nothing will be said
    tables = ["text", "utt2spk"] + ["prompt_text"] * (args.mode != "zero")
    shard = Shard(args, ["taste"] + ["spk_emb"] * voices.is_file(), tables)
    if shard.done:
        return
    how = {name: getattr(args, name) for name in ("slots", "cuda_graph", "weights")}
    taslm = TaslmGenerate(
        args.train_config,
        args.model_file,
        args.device,
        chat_template=args.chat_template,
        **how,
        **options,
    )
    shard.files[TasteSpec.FILE] = taslm.preprocess.spec.text()
    if args.taste:
        taslm.preprocess.spec.check(args.taste)
    if args.mode == "chat":
        dialogues = unanswered(taslm.dialogues, args.taste, text)
        prompts = {name: turns[-1].text for name, turns in dialogues.items()}
    else:
        prompts, codes = first_words(taslm.preprocess, text, args, spoken)
    speakers = read_table(args.data_dir / "utt2spk", keys=prompts)
    check_keys(args.data_dir / "utt2spk", speakers, prompts)
    arks = {"spk_emb": read_arks(voices, prompts)} if voices.is_file() else {}
    for names in shard.batches(sorted(prompts)):
        with shard.clock("taslm"):
            if args.mode == "chat":
                results = taslm.chat([dialogues[name] for name in names], names)
            else:
                results = taslm(
                    [prompts[name] for name in names],
                    codes and [codes[name] for name in names],
                    names,
                    args.mode,
                    args.instruction,
                )
        for name, result in zip(names, results, strict=True):
            if not result.text:
                logging.warning("%s: nothing generated; left out", name)
                shard.write(name, {}, audio_s=None)
                continue
            row = {key: np.array(table[name]) for key, table in arks.items()}
            row["taste"] = result.codes.flatten().numpy().astype(np.int32)
            row |= {"text": result.text, "utt2spk": speakers[name]}
            if args.mode != "zero":
                row["prompt_text"] = prompts[name]
            shard.write(name, row, audio_s=None)


def first_words(
    preprocess, text: dict[str, str], args: argparse.Namespace, spoken: bool
) -> tuple[dict[str, str], Mapping | None]:
    """Prompts, and their codes if they are ``spoken``."""
    from espnet2_taste.taslm.prompts import choose_prompts, prompt_codes

    wanted, length = text, ()
    if args.mode == "zero":
        wanted = dict.fromkeys(wanted, "")
    elif args.mode != "instruct" and not args.whole_prompts:
        length = args.prompt_words, args.prompt_seconds, args.ctm
    counts = choose_prompts(preprocess.segmenter, wanted, *length)
    first = preprocess.segmenter.first
    prompts = {name: first(text[name], count) for name, count in counts.items()}
    if not spoken:
        return prompts, None
    seed = args.seed if args.prompt_codes == "shuffled" else None
    return prompts, prompt_codes(preprocess, args.taste, text, counts, seed)


def unanswered(read, taste: str, text: dict[str, str]) -> dict[str, list]:
    """The turns of each dialogue up to the last that is not the assistant's."""
    from espnet2_taste.io.arks import read_arks

    codes, dialogues = read_arks(taste, text), {}
    for name, line in text.items():
        try:
            turns = read.read(line, codes[name])
        except ValueError as error:
            raise ValueError(f"{taste}: dialogue {name}: {error}") from None
        while turns and turns[-1].role == "assistant":
            turns.pop()
        if turns:
            dialogues[name] = turns
        else:
            logging.warning("%s: nobody spoke to the assistant; left out", name)
    return dialogues


if __name__ == "__main__":
    run(main)
