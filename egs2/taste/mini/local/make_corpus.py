#!/usr/bin/env python3
"""Speak the mini corpus: data/{train,dev,test} and data/local/*.jsgf.

Every utterance is drawn from (seed, set, index) alone: the number of processes and
the size of the other sets change nothing, and the same seed gives the same bytes.
"""

import argparse
import logging
import os
import random
from functools import partial
from pathlib import Path

import grammar
import numpy as np
import soundfile

from espnet2_taste.bin.numbers import positive
from espnet2_taste.corpora.espeak import Espeak
from espnet2_taste.io.processes import process_pool

# The espeak-ng voices an independent recogniser understands.
SPEAKERS = ("edward", "f1", "f2", "f3", "f5", "klatt4", "m4", "m5")
RESERVED = 1000  # sentences kept for each of test and dev


def draw_speech(rng: random.Random, words: list[str]) -> tuple[str, dict]:
    """SSML for one delivery of ``words``, and the engine's settings for it."""
    settings = {
        "wpm": round(110 * (230 / 110) ** rng.random()),  # log-uniform
        "pitch": rng.randint(25, 75),
        "pitch_range": rng.randint(25, 75),
    }
    parts = []
    for index, word in enumerate(words):
        prosody = ""
        if rng.random() < 0.15:
            prosody += f' rate="{rng.randint(55, 75)}%"'
        if rng.random() < 0.20:
            prosody += f' pitch="{rng.choice("+-")}{rng.randint(15, 35)}%"'
        part = f"<prosody{prosody}>{word}</prosody>" if prosody else word
        pause = rng.randint(120, 450)
        if rng.random() < 0.18 and index < len(words) - 1:
            part += f'<break time="{pause}ms"/>'
        parts.append(part)
    return f"<speak>{' '.join(parts)}</speak>", settings


def word_ends(wav: np.ndarray, starts: list[int]) -> list[int]:
    """Last audible sample (above 1 % of the peak) of each word, plus one."""
    loud = np.flatnonzero(np.abs(wav.astype(np.int32)) > np.abs(wav).max() // 100)
    borders = np.searchsorted(loud, [*starts[1:], len(wav)])
    return [
        max(int(loud[border - 1]) + 1, start + 1) if border else start + 1
        for start, border in zip(starts, borders, strict=True)
    ]


def speak_block(jobs: list[tuple], seed: int, wav_dir: Path) -> list[tuple]:
    """Write the block's wavs; return (utt_id, path, text, speaker, ctm lines)."""
    results = []
    with Espeak() as engine:
        for subset, index, text in jobs:
            rng = random.Random(f"speech {seed} {subset} {index}")
            speaker = SPEAKERS[index % len(SPEAKERS)]
            utt_id = f"{speaker}-{subset}-{index:05d}"
            words = text.split()
            ssml, settings = draw_speech(rng, words)
            wav, starts, rate = engine(ssml, f"en-us+{speaker}", **settings)
            if len(starts) != len(words):
                raise RuntimeError(f"{utt_id}: {len(starts)} words heard in {text!r}")
            path = wav_dir / subset / f"{utt_id}.wav"
            temporary = path.with_suffix(".tmp.wav")
            soundfile.write(temporary, wav, rate, subtype="PCM_16")
            os.replace(temporary, path)
            ctm = [
                f"{utt_id} 1 {start / rate:.3f} {(end - start) / rate:.3f} {word}"
                for word, start, end in zip(
                    words, starts, word_ends(wav, starts), strict=True
                )
            ]
            results.append((utt_id, str(path), text, speaker, ctm))
    return results


def write_lines(path: Path, lines) -> None:
    """Write ``lines`` to a temporary name and rename."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    os.replace(temporary, path)


def write_data_dir(folder: Path, rows: list[tuple]) -> None:
    """Write a Kaldi data directory with word timings from ``speak_block`` rows."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = sorted(rows)
    write_lines(folder / "wav.scp", (f"{r[0]} {r[1]}" for r in rows))
    write_lines(folder / "text", (f"{r[0]} {r[2]}" for r in rows))
    write_lines(folder / "utt2spk", (f"{r[0]} {r[3]}" for r in rows))
    by_speaker = {}
    for utt_id, _, _, speaker, _ in rows:
        by_speaker.setdefault(speaker, []).append(utt_id)
    write_lines(
        folder / "spk2utt",
        (f"{speaker} {' '.join(ids)}" for speaker, ids in sorted(by_speaker.items())),
    )
    write_lines(folder / "words.ctm", (line for r in rows for line in r[4]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path, default=Path("data"))
    parser.add_argument("--num_train", type=positive, default=3000)
    parser.add_argument("--num_dev", type=positive, default=64)
    parser.add_argument("--num_test", type=positive, default=96)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nj", type=positive, default=2)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    # The sets take their sentences from one list without repetition; train comes
    # last and dev and test have fixed places, so that sizes do not interact.
    sizes = {"test": args.num_test, "dev": args.num_dev, "train": args.num_train}
    if max(args.num_test, args.num_dev) > RESERVED:
        raise SystemExit(f"--num_test and --num_dev are at most {RESERVED}")
    sentences = grammar.draw_sentences(args.seed, 2 * RESERVED + args.num_train)
    jobs = []
    for place, (subset, size) in enumerate(sizes.items()):
        (args.data_dir / "wav" / subset).mkdir(parents=True, exist_ok=True)
        first = place * RESERVED
        texts = sentences[first : first + size]
        jobs += [(subset, index, text) for index, text in enumerate(texts)]
    blocks = [jobs[start : start + 50] for start in range(0, len(jobs), 50)]

    speak = partial(speak_block, seed=args.seed, wav_dir=args.data_dir / "wav")
    rows, done = {subset: [] for subset in sizes}, 0
    with process_pool(args.nj) as pool:
        for block, result in zip(blocks, pool.map(speak, blocks), strict=True):
            for (subset, _, _), row in zip(block, result, strict=True):
                rows[subset].append(row)
            done += len(block)
            if done % 500 == 0 or done == len(jobs):
                logging.info("spoke %d/%d utterances", done, len(jobs))
    for subset in sizes:
        write_data_dir(args.data_dir / subset, rows[subset])
    local = args.data_dir / "local"
    local.mkdir(exist_ok=True)
    for name, expansions in (
        ("grammar", [grammar.expand(grammar.SENTENCE)]),
        ("continuation", grammar.endings(grammar.SENTENCE)),
    ):
        write_lines(local / f"{name}.jsgf", grammar.jsgf(expansions).splitlines())


if __name__ == "__main__":
    main()
