"""Prompts of a TASLM: the first words of utterances, with their codes or without."""

import logging
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from espnet2_taste.io.arks import Codes, read_codes
from espnet2_taste.io.ctm import read_ctm
from espnet2_taste.text.segmenters import AbsSegmenter


def words_within(
    words: dict[str, list[str]], ctm: Path, seconds: float
) -> dict[str, int]:
    """Words of each utterance that end within its first ``seconds``, at least one.

    Raises:
        ValueError: an utterance's words are not those of the CTM.
    """
    half_step = 0.0005  # CTMs have milliseconds
    times, counts = read_ctm(ctm, words), {}
    for name, expected in words.items():
        timed = times.get(name, [])
        said = [word.word for word in timed]
        if said != expected:
            raise ValueError(
                f"{ctm}: {name} has the words '{' '.join(said)}', its text is "
                f"'{' '.join(expected)}'"
            )
        within = sum(word.end <= seconds + half_step for word in timed)
        counts[name] = max(1, within)
    return counts


def choose_prompts(
    segmenter: AbsSegmenter,
    text: dict[str, str],
    words: int | None = None,
    seconds: float | None = None,
    ctm: Path | None = None,
) -> dict[str, int]:
    """How many words each prompt has; utterances that make none are left out.

    A prompt that is cut leaves at least one word to say; the same rule for every row.

    Args:
        segmenter: tells the words of a text.
        text: of the utterances.
        words: this many; or
        seconds: those that end by then, by the times in ``ctm``; neither: all.
        ctm: word times of the utterances.

    Raises:
        ValueError: none is left.
    """
    split = {name: segmenter.words(value) for name, value in text.items()}
    sizes = {name: len(row) for name, row in split.items()}
    if seconds is not None:
        if ctm is None:
            raise ValueError("--prompt_seconds needs --ctm")
        counts, limit = words_within(split, ctm, seconds), f"{seconds:g} s"
    elif words is not None:
        counts, limit = dict.fromkeys(text, words), f"{words} words"
    else:
        return sizes
    prompts = {name: n for name, n in counts.items() if sizes[name] > n}
    if not prompts:
        raise ValueError(f"no utterance is longer than {limit}")
    left_out, whole = len(text) - len(prompts), len(text)
    if left_out:
        what = "%d of %d utterances left out: no longer than %s"
        logging.info(what, left_out, whole, limit)
    return prompts


class ShuffledCodes(Mapping[str, np.ndarray]):
    """Random rows of other utterances' codes, one draw per row, read when asked for.

    Args:
        codes: utterance -> (S, R).
        lengths: rows wanted for each utterance.
        seed: with the utterance's id, of its draws (sharding changes nothing).
    """

    def __init__(
        self, codes: Mapping[str, np.ndarray], lengths: dict[str, int], seed: int
    ):
        if len(codes) < 2:
            raise ValueError("prompt_codes shuffled needs at least two utterances")
        self.codes, self.lengths, self.seed = codes, lengths, seed
        self._names = sorted(codes)

    def __getitem__(self, name: str) -> np.ndarray:
        length = self.lengths[name]
        random = np.random.default_rng([self.seed, *name.encode()])
        others = random.integers(len(self._names) - 1, size=length)
        others += others >= bisect_left(self._names, name)
        codes = [self.codes[self._names[other]] for other in others]
        drawn = [rows[random.integers(len(rows))] for rows in codes]
        return np.stack(drawn) if drawn else self.codes[name][:0]

    def __iter__(self) -> Iterator[str]:
        return iter(self.lengths)

    def __len__(self) -> int:
        return len(self.lengths)


def prompt_codes(
    preprocess,
    path: Path,
    text: dict[str, str],
    counts: dict[str, int],
    shuffle_seed: int | None = None,
) -> Mapping[str, np.ndarray]:
    """Codes of each prompt.

    Args:
        preprocess: the TASLM's; knows the form of the codes and what they belong to.
        path: taste.scp.
        text: of whole utterances.
        counts: words of each prompt.
        shuffle_seed: codes are those of other utterances, see :class:`ShuffledCodes`;
            None: the prompts' own.

    Returns:
        (S, R) int64 by utterance, a row per word or token of the prompt.

    Raises:
        ValueError: an utterance has no codes, or not those of its text.
    """
    spec, lengths = preprocess.spec, {}
    codes = read_codes(path, spec.num_codebooks, counts)
    for name, count in counts.items():
        segments = preprocess.segments(text[name])
        if len(codes[name]) != len(segments):
            raise ValueError(
                f"{path}: {name} has codes of {len(codes[name])} {spec.granularity}s, "
                f"its text has {len(segments)}"
            )
        lengths[name] = sum(word < count for word in segments)
    if shuffle_seed is not None:
        everyone = Codes(path, spec.num_codebooks)
        return ShuffledCodes(everyone, lengths, shuffle_seed)
    return {name: codes[name][:length] for name, length in lengths.items()}
