"""Prompts of a TASLM: the first words of utterances, with their codes or without."""

import logging
from pathlib import Path

import numpy as np

from espnet2_taste.io.ctm import read_ctm
from espnet2_taste.io.kaldi import read_codes


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


def choose_prompts(
    text: dict[str, str],
    words: int | None = None,
    seconds: float | None = None,
    ctm: Path | None = None,
) -> dict[str, list[str]]:
    """Words of each prompt; utterances that make none are left out.

    Args:
        text: of the utterances.
        words: this many; or
        seconds: those that end by then, by the times in ``ctm``; neither: all.
        ctm: word times of the utterances.

    Raises:
        ValueError: none is left.
    """
    if seconds is not None:
        if ctm is None or seconds <= 0:
            raise ValueError("--prompt_seconds needs --ctm, and is above 0")
        counts = words_within(text, ctm, seconds)
        return first_words(text, counts, f"{seconds:g} s")
    if words is not None:
        return first_words(text, dict.fromkeys(text, words), f"{words} words")
    return {name: value.split() for name, value in text.items()}


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


def prompt_codes(
    path: Path,
    num_codebooks: int,
    text: dict[str, str],
    lengths: dict[str, int],
    shuffle_seed: int | None = None,
) -> dict[str, np.ndarray]:
    """Codes of each prompt's words.

    Args:
        path: taste.scp.
        num_codebooks: R.
        text: of whole utterances.
        lengths: words of each prompt.
        shuffle_seed: codes are those of other utterances, see :func:`shuffle_codes`;
            None: the prompts' own.

    Returns:
        (W, R) int64 by utterance.

    Raises:
        ValueError: an utterance has no codes, or other ones than words.
    """
    codes = read_codes(path, num_codebooks, lengths)
    for name in lengths:
        words = len(text[name].split())
        if len(codes[name]) != words:
            raise ValueError(
                f"{path}: {name} has codes of {len(codes[name])} words, its text has "
                f"{words}"
            )
    if shuffle_seed is not None:
        codes = shuffle_codes(codes, lengths, shuffle_seed)
    return {name: codes[name][:length] for name, length in lengths.items()}
