"""Continue the first words of each utterance of a data directory with a TASLM.

Writes a data directory of the generated part: text, taste.scp, spk_emb.scp (where there
is one), utt2spk, num_codebooks, codebook_size; also prompt_text and rtf.json (seconds
per word). A prompt is the first words with their codes (``--mode audio``) or alone
(``text``), the whole utterance between two texts (``instruct``), or nothing (``zero``).
First words are ``--prompt_words`` of them, those that end within ``--prompt_seconds``,
or all (``--whole_prompts``: questions).
``--prompt_codes shuffled`` is the control: same prompt text, but each word's codes are
those of a random word of another utterance.
"""

import argparse
import json
import logging
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from espnet2_taste.bin import command, run
from espnet2_taste.bin.options import (
    add_batch_options,
    add_data_options,
    add_model_options,
)
from espnet2_taste.io.atomic import write_text
from espnet2_taste.io.ctm import read_ctm
from espnet2_taste.io.kaldi import (
    ArkWriter,
    check_keys,
    read_arks,
    read_codes,
    read_table,
    select_keys,
    write_table,
)


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
        choices=["audio", "text", "instruct", "zero"],
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
    length.add_argument("--prompt_words", type=int, default=4)
    length.add_argument(
        "--prompt_seconds", type=float, help="words that end by then (needs --ctm)"
    )
    length.add_argument(
        "--whole_prompts", action="store_true", help="prompts are whole utterances"
    )
    parser.add_argument("--ctm", type=Path, help="word times of these utterances")
    parser.add_argument(
        "--max_new_words", type=int, help="default: what --config says, or 8"
    )
    parser.add_argument("--prompt_codes", default="own", choices=["own", "shuffled"])
    parser.add_argument("--seed", type=int, default=0)
    add_batch_options(parser)
    return parser


def first_words(
    text: dict[str, str], counts: dict[str, int], limit: str
) -> dict[str, list[str]]:
    """Prompts that leave at least one word to say; the same rule for every row.

    Args:
        text: of the utterances.
        counts: words of each one's prompt.
        limit: what the counts come from, for messages.

    Raises:
        ValueError: no utterance is long enough.
    """
    words = {name: value.split() for name, value in text.items()}
    prompts = {u: row[: counts[u]] for u, row in words.items() if len(row) > counts[u]}
    if not prompts:
        raise ValueError(f"no utterance is longer than {limit}")
    if len(prompts) < len(text):
        logging.info(
            "%d of %d utterances left out: no longer than %s",
            len(text) - len(prompts),
            len(text),
            limit,
        )
    return prompts


def words_within(text: dict[str, str], ctm: Path, seconds: float) -> dict[str, int]:
    """Words of each utterance that end within its first ``seconds``, at least one.

    Raises:
        ValueError: an utterance's words are not those of its text.
    """
    half_step = 0.0005  # CTMs have milliseconds
    times, counts = read_ctm(ctm), {}
    for name, value in text.items():
        words = times.get(name, [])
        said = " ".join(timed.word for timed in words)
        if said.split() != value.split():
            raise ValueError(
                f"{ctm}: {name} has the words '{said}', its text is '{value}'"
            )
        within = sum(timed.end <= seconds + half_step for timed in words)
        counts[name] = max(1, within)
    return counts


def choose_prompts(args, text: dict[str, str]) -> dict[str, list[str]]:
    """Words of each prompt; utterances that make none are left out.

    Raises:
        ValueError: none is left.
    """
    if args.mode == "zero":
        return {name: [] for name in text}
    if args.mode == "instruct" or args.whole_prompts:
        return {name: value.split() for name, value in text.items()}
    if args.prompt_seconds is None:
        counts = dict.fromkeys(text, args.prompt_words)
        return first_words(text, counts, f"{args.prompt_words} words")
    if args.ctm is None or args.prompt_seconds <= 0:
        raise ValueError("--prompt_seconds needs --ctm, and is above 0")
    counts = words_within(text, args.ctm, args.prompt_seconds)
    return first_words(text, counts, f"{args.prompt_seconds:g} s")


def shuffle_codes(
    codes: dict[str, np.ndarray], lengths: dict[str, int], seed: int
) -> dict[str, np.ndarray]:
    """Codes of random words of other utterances, one draw per word.

    Args:
        codes: utterance -> (W, R).
        lengths: rows wanted for each utterance.
        seed: with the utterance's id, of its draws (sharding changes nothing).
    """
    if len(codes) < 2:
        raise ValueError("prompt_codes shuffled needs at least two utterances")
    names = sorted(codes)
    position = {name: i for i, name in enumerate(names)}
    shuffled = {}
    for name, length in lengths.items():
        random = np.random.default_rng([seed, *name.encode()])
        others = random.integers(len(names) - 1, size=length)
        others += others >= position[name]
        rows = [codes[names[other]] for other in others]
        shuffled[name] = np.stack(
            [rows_[random.integers(len(rows_))] for rows_ in rows]
        )
    return shuffled


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    spoken = args.mode in ("audio", "instruct")
    if spoken and args.taste is None:
        raise ValueError(f"--mode {args.mode} needs --taste")
    text = read_table(args.data_dir / "text")
    prompts = choose_prompts(args, select_keys(text, args.key_file))
    from espnet2_taste.inference.taslm_generate import TaslmGenerate
    from espnet2_taste.io.checkpoint import read_yaml

    options = read_yaml(args.config) if args.config else {}
    if args.max_new_words or not options.keys() & {"max_words", "extra_words"}:
        options["max_words"] = args.max_new_words or 8
    options["seed"] = args.seed
    taslm = TaslmGenerate(args.train_config, args.model_file, args.device, **options)
    codes = None
    if spoken:
        codes = read_codes(args.taste, taslm.model.quantizer.num_codebooks, prompts)
        for name in prompts:
            if len(codes[name]) != len(text[name].split()):
                raise ValueError(
                    f"{args.taste}: {name} has codes of {len(codes[name])} words, its "
                    f"text has {len(text[name].split())}"
                )
        lengths = {name: len(prompt) for name, prompt in prompts.items()}
        if args.prompt_codes == "shuffled":
            codes = shuffle_codes(codes, lengths, args.seed)
        codes = {name: codes[name][:length] for name, length in lengths.items()}
    write_continuations(args, taslm, prompts, codes)


def write_continuations(args, taslm, prompts: dict, codes: dict | None) -> None:
    """Generate and write."""
    names, words = sorted(prompts), {}
    voices = args.data_dir / "spk_emb.scp"  # absent: nothing will be said
    spoken = read_arks(voices, names) if voices.is_file() else None
    speakers = read_table(args.data_dir / "utt2spk")
    check_keys(args.data_dir / "utt2spk", speakers, names)
    output_dir, seconds = args.output_dir, 0.0
    with ArkWriter(output_dir, "taste") as taste, ExitStack() as stack:
        embeddings = {}
        if spoken is not None:
            embeddings = stack.enter_context(ArkWriter(output_dir, "spk_emb"))
        for first in range(0, len(names), args.batch_size):
            batch = names[first : first + args.batch_size]
            start = time.perf_counter()
            results = taslm(
                [prompts[name] for name in batch],
                codes and [codes[name] for name in batch],
                batch,
                args.mode,
                args.instruction,
            )
            seconds += time.perf_counter() - start
            for name, result in zip(batch, results, strict=True):
                if not result.words:
                    logging.warning("%s: nothing generated; left out", name)
                    continue
                words[name] = " ".join(result.words)
                taste[name] = result.codes.flatten().numpy().astype(np.int32)
                if spoken is not None:
                    embeddings[name] = spoken[name]
            logging.info("%d of %d utterances", first + len(batch), len(names))
    count = sum(len(value.split()) for value in words.values())
    write_table(output_dir / "text", words)
    if args.mode != "zero":
        said = {name: " ".join(prompts[name]) for name in words}
        write_table(output_dir / "prompt_text", said)
    write_table(output_dir / "utt2spk", {name: speakers[name] for name in words})
    quantizer = taslm.model.quantizer
    report = {"taslm_seconds_per_word": seconds / max(count, 1)}
    logging.info("%d words, %.4f s per word", count, seconds / max(count, 1))
    for name, content in (
        ("num_codebooks", f"{quantizer.num_codebooks}\n"),
        ("codebook_size", f"{quantizer.codebook_size}\n"),
        ("rtf.json", json.dumps(report) + "\n"),
    ):
        write_text(output_dir / name, content)


if __name__ == "__main__":
    run(main)
