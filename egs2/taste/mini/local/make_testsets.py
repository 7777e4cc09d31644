#!/usr/bin/env python3
"""Speak small test sets of spoken language models in the layouts of the public ones.

data/testsets/{salmon,tstorycloze,sblimp,web_questions}, each with ``text``
(transcripts; the public ones have none). Sentences are the mini corpus's, but none of
data/{train,dev,test}. The same seed gives the same bytes.

SALMON: six of eight tasks. The alignment tasks are missing: what these sentences mean
calls for no sentiment and no background. ``sentiment_consistency`` is a change of
manner (slow, low and flat, or fast, high and lively), not of feeling.
"""

import argparse
import csv
import logging
import random
import re
import shutil
from pathlib import Path

import grammar
import numpy as np
import soundfile
from acoustics import BACKGROUNDS, background, room
from make_corpus import SPEAKERS, write_lines

from espnet2_taste.bin.numbers import positive
from espnet2_taste.corpora.espeak import Espeak

FEMALE = [name for name in SPEAKERS if name.startswith("f")]
MALE = [name for name in SPEAKERS if name not in FEMALE]
MANNERS = (
    {"wpm": 125, "pitch": 30, "pitch_range": 25},
    {"wpm": 215, "pitch": 70, "pitch_range": 75},
)


def pattern(symbol=grammar.SENTENCE) -> str:
    """Regular expression of what ``symbol`` may be, a space after each word."""
    if isinstance(symbol, str):
        return f"(?:{'|'.join(grammar.WORDS[symbol])}) "
    if grammar.is_choice(symbol):
        return f"(?:{'|'.join(map(pattern, symbol))})"
    parts = [f"(?:{pattern(part)})" + "?" * (p < 1) for part, p in symbol]
    return "".join(parts)


SENTENCE = re.compile(pattern())


def fits(words: list[str]) -> bool:
    """Whether the grammar allows this sentence."""
    return SENTENCE.fullmatch("".join(f"{word} " for word in words)) is not None


def draw_unseen(rng: random.Random, seen: set[str]) -> list[str]:
    """Words of a sentence that is not in ``seen``, and then is."""
    while True:
        words = grammar.draw(rng)
        if " ".join(words) not in seen:
            seen.add(" ".join(words))
            return words


def draw_settings(rng: random.Random) -> dict:
    """Rate, pitch and range as in the corpus."""
    return {
        "wpm": round(110 * (230 / 110) ** rng.random()),
        "pitch": rng.randint(25, 75),
        "pitch_range": rng.randint(25, 75),
    }


class Speaker:
    """Says word sequences; ``rate`` is that of its samples."""

    def __init__(self, engine: Espeak):
        self.engine, self.rate = engine, 0

    def __call__(self, words: list[str], voice: str, settings: dict) -> np.ndarray:
        """(N,) float in [-1, 1], without the silence after the last word."""
        ssml = f"<speak>{' '.join(words)}</speak>"
        wav, _, self.rate = self.engine(ssml, f"en-us+{voice}", **settings)
        loud = np.flatnonzero(np.abs(wav) > np.abs(wav).max() // 100)
        return wav[: loud[-1] + self.rate // 20] / 32768.0


class SalmonTasks:
    """Each task: (speaker, words, rng) -> (consistent, inconsistent) recording.

    Both begin alike and have the same words; the second half of the other one differs.
    """

    def __init__(self, say: Speaker):
        self.say = say

    def halves(self, words, first: tuple, second: tuple) -> list[np.ndarray]:
        """Both halves of a sentence by a voice in its settings."""
        middle = len(words) // 2
        return [self.say(words[:middle], *first), self.say(words[middle:], *second)]

    def switch(self, words, voice, other) -> tuple[np.ndarray, np.ndarray]:
        """A change of (voice, settings) half-way."""
        return tuple(
            np.concatenate(self.halves(words, voice, end)) for end in (voice, other)
        )

    def speaker_consistency(self, words, rng):
        voice, other = rng.sample(rng.choice((FEMALE, MALE)), 2)
        settings = draw_settings(rng)
        return self.switch(words, (voice, settings), (other, settings))

    def gender_consistency(self, words, rng):
        voice, other = rng.sample([rng.choice(FEMALE), rng.choice(MALE)], 2)
        settings = draw_settings(rng)
        return self.switch(words, (voice, settings), (other, settings))

    def sentiment_consistency(self, words, rng):
        voice = rng.choice(SPEAKERS)
        manner, other = rng.sample(MANNERS, 2)
        return self.switch(words, (voice, manner), (voice, other))

    def bg_all_consistency(self, words, rng):
        return self.backgrounds(words, rng, rng.sample(BACKGROUNDS, 2))

    def bg_domain_consistency(self, words, rng):
        return self.backgrounds(words, rng, [rng.choice(BACKGROUNDS)] * 2)

    def backgrounds(self, words, rng, kinds):
        """A change of background half-way, 5 to 15 dB below the speech."""
        speech = self.say(words, rng.choice(SPEAKERS), draw_settings(rng))
        level = np.sqrt(np.mean(speech**2)) * 10 ** (-rng.uniform(5, 15) / 20)
        noise = np.random.default_rng(rng.getrandbits(64))
        first, second = (
            level * background(kind, len(speech), self.say.rate, noise)
            for kind in kinds
        )
        middle = len(speech) // 2
        changed = np.concatenate([first[:middle], second[middle:]])
        return speech + first, speech + changed

    def rir_consistency(self, words, rng):
        voice = rng.choice(SPEAKERS), draw_settings(rng)
        decays = rng.sample((rng.uniform(0.1, 0.25), rng.uniform(0.6, 1.0)), 2)
        seeds = [rng.getrandbits(64) for _ in range(2)]
        begin, end = self.halves(words, voice, voice)
        wavs = []
        for i in (0, 1):
            parts = [
                room(part, decays[j], self.say.rate, np.random.default_rng(seeds[j]))
                for part, j in ((begin, 0), (end, i))
            ]
            wav = np.zeros(max(len(parts[0]), len(begin) + len(parts[1])))
            wav[: len(parts[0])] += parts[0]
            wav[len(begin) : len(begin) + len(parts[1])] += parts[1]
            wavs.append(wav)
        return tuple(wavs)


SALMON = (
    "sentiment_consistency",
    "speaker_consistency",
    "gender_consistency",
    "bg_domain_consistency",
    "bg_all_consistency",
    "rir_consistency",
)


class Folder:
    """A set's root: writes recordings and, at the end, ``text``."""

    def __init__(self, root: Path, say: Speaker):
        self.root, self.say, self.text = root, say, {}

    def write(self, name: str, wav: np.ndarray, words: list[str]) -> None:
        """``name`` is the file in the root without suffix."""
        path = self.root / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, wav, self.say.rate, "PCM_16")
        self.text[name] = " ".join(words)

    def finish(self) -> None:
        write_lines(self.root / "text", (f"{k} {v}" for k, v in self.text.items()))


def make_salmon(folder: Folder, count: int, seed: int, seen: set[str]) -> None:
    tasks = SalmonTasks(folder.say)
    for task in SALMON:
        for i in range(count):
            rng = random.Random(f"{task} {seed} {i}")
            words = draw_unseen(rng, seen)
            wavs = getattr(tasks, task)(words, rng)
            loudest = max(np.abs(wav).max() for wav in wavs)
            for side, wav in enumerate(wavs):  # at one level: they begin alike
                wav = wav * min(1.0, 0.9 / loudest)
                folder.write(f"{task}/sample_{i}_{side}", wav, words)


def make_tstorycloze(folder: Folder, count: int, seed: int, seen: set[str]) -> None:
    """Endings: the sentence's own, and another's that the grammar forbids here."""
    for i in range(count):
        rng = random.Random(f"tstorycloze {seed} {i}")
        words = draw_unseen(rng, seen)
        cut = rng.randint(2, len(words) - 2)
        while True:
            other = grammar.draw(rng)
            ending = other[rng.randint(1, len(other) - 2) :]
            if not fits(words[:cut] + ending):
                break
        voice, settings = rng.choice(SPEAKERS), draw_settings(rng)
        for side, (end, name) in enumerate(
            ((words[cut:], "correct"), (ending, "incorrect"))
        ):
            said = words[:cut] + end
            stem = f"{2 * i + side}_story{i:03d}_{name}"
            folder.write(stem, folder.say(said, voice, settings), said)


def swapped(words: list[str], rng: random.Random) -> list[str]:
    """Two neighbours change places."""
    place = rng.randrange(len(words) - 1)
    return [
        *words[:place],
        words[place + 1],
        words[place],
        *words[place + 2 :],
    ]


def replaced(words: list[str], rng: random.Random) -> list[str]:
    """A word of another class."""
    place = rng.randrange(len(words))
    other = rng.choice([word for some in grammar.WORDS.values() for word in some])
    return [*words[:place], other, *words[place + 1 :]]


def make_sblimp(folder: Folder, count: int, seed: int, seen: set[str]) -> None:
    """Half as many sentences as pairs, each said by two voices."""
    kinds = {
        ("word_order", "neighbours_swapped"): swapped,
        ("word_class", "one_word_replaced"): replaced,
    }
    rows = []
    for i in range((count + 1) // 2):
        rng = random.Random(f"sblimp {seed} {i}")
        words = draw_unseen(rng, seen)
        kind, subtype = list(kinds)[i % 2]
        while True:
            wrong = kinds[kind, subtype](words, rng)
            if not fits(wrong):
                break
        for voice in rng.sample(SPEAKERS, 2):
            settings = draw_settings(rng)
            for said, correct in ((words, 1), (wrong, 0)):
                name = "".join(
                    rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in "." * 11
                )
                folder.write(
                    f"syntactic/dev/{name}", folder.say(said, voice, settings), said
                )
                line = [name, i, voice, kind, subtype, " ".join(said), correct]
                rows.append(line)
    header = "filename id voice type subtype transcription correct".split()
    with open(folder.root / "syntactic/dev/gold.csv", "w", newline="") as lines:
        csv.writer(lines).writerows([header, *rows])


def make_web_questions(folder: Folder, count: int, seed: int, seen: set[str]) -> None:
    """A "question" is a sentence up to the determiner after its verb.

    Answers are the words the grammar allows next: colours and objects.
    """
    answers = ";".join(grammar.WORDS["colour"] + grammar.WORDS["object"])
    rows = [("question", "answers", "audio_filename")]
    for i in range(count):
        rng = random.Random(f"web_questions {seed} {i}")
        words = draw_unseen(rng, seen)
        verb = next(j for j, word in enumerate(words) if word in grammar.WORDS["verb"])
        begin = words[: verb + 2]
        wav = folder.say(begin, rng.choice(SPEAKERS), draw_settings(rng))
        folder.write(f"audios/{i}", wav, begin)
        rows.append((" ".join(begin), answers, f"{i}.wav"))
    with open(folder.root / "web_questions.csv", "w", newline="") as lines:
        csv.writer(lines).writerows(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data_dir", type=Path, default=Path("data"))
    parser.add_argument("--num_pairs", type=positive, default=40, help="of each task")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    seen = set()
    for subset in ("train", "dev", "test"):
        path = args.data_dir / subset / "text"
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            seen |= {line.partition(" ")[2] for line in lines}
    with Espeak() as engine:
        for make in (make_salmon, make_tstorycloze, make_sblimp, make_web_questions):
            name = make.__name__.removeprefix("make_")
            root = args.data_dir / "testsets" / name
            shutil.rmtree(root, ignore_errors=True)
            folder = Folder(root, Speaker(engine))
            make(folder, args.num_pairs, args.seed, seen)
            folder.finish()
            logging.info("%s: %d recordings", root, len(folder.text))


if __name__ == "__main__":
    main()
