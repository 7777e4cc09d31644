"""A manifest of many utterances that point to a few recordings, and tiny models."""

import os
import random
import sys
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import kaldiio
import numpy as np
import soundfile

from benchmarks.setup import ROOT

RECORDINGS = 8
RATE, UNIT = 16000, 640  # Hz, samples
WORDS = 12
WIDTH = 192  # of speaker embeddings, as CAM++'s: it is what their mean needs
SPEAKER_UTTS = 250  # utterances of a speaker
TEST_UTTS = 500


def key_of(number: int) -> str:
    """As long as Emilia's; they sort as their numbers do."""
    return f"EN_B{number // 10000:05d}_S{number // 100 % 100:05d}_W{number:07d}"


def make_corpus(folder: Path, lines: int, nj: int) -> None:
    """``raw`` as stage 3 leaves a set, ``test`` a small one, ``keys.1`` a shard's."""
    if (folder / "made").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    entries = _recordings(folder)
    _tables(folder / "raw", entries, range(lines))
    again = {name: list(there) for name, there in entries.items()}  # other names
    again["wav.scp"] = [f"{folder}/./audio/{Path(n).name}" for n in entries["wav.scp"]]
    first = (lines // SPEAKER_UTTS + 1) * SPEAKER_UTTS
    _tables(folder / "test", again, range(first, first + TEST_UTTS))
    with open(folder / "keys.1", "w") as keys:
        keys.writelines(f"{key_of(i)}\n" for i in range(max(1, lines // nj)))
    _models(folder / "models")
    (folder / "made").touch()


def _recordings(folder: Path) -> dict[str, list[str]]:
    """Table -> its entry for each of the recordings."""
    random_ = np.random.default_rng(0)
    entries: dict[str, list[str]] = {"wav.scp": [], "utt2num_samples": []}
    arks: dict[str, dict] = {name: {} for name in ("units", "durations", "taste")}
    arks |= {"spk_emb": {}, "borders": {}, "prosody": {}, "f0_sum": {}}
    (folder / "audio").mkdir(exist_ok=True)
    for i in range(RECORDINGS):
        durations = random_.integers(2, 5, WORDS).astype(np.int32)
        frames = int(durations.sum())
        wav = random_.standard_normal(frames * UNIT) * 0.1
        path = folder / "audio" / f"a_recording_of_the_corpus_{i}.wav"
        soundfile.write(path, wav, RATE, "PCM_16")
        entries["wav.scp"].append(str(path))
        entries["utt2num_samples"].append(str(len(wav)))
        name = str(i)
        arks["durations"][name] = durations
        arks["borders"][name] = np.cumsum([0, *durations]) * UNIT / RATE
        arks["units"][name] = random_.integers(0, 20, frames, np.int32)
        arks["taste"][name] = random_.integers(0, 8, WORDS * 2, np.int32)
        arks["spk_emb"][name] = random_.standard_normal(WIDTH).astype(np.float32)
        arks["prosody"][name] = random_.standard_normal((WORDS, 3)).astype(np.float32)
        arks["f0_sum"][name] = np.array([5.0 * frames, frames])
    for table, arrays in arks.items():
        ark = folder / "audio" / f"{table}.ark"
        scp = ark.with_suffix(".scp")
        kaldiio.save_ark(str(ark), arrays, str(scp))
        lines = scp.read_text().splitlines()
        entries[f"{table}.scp"] = [line.split()[1] for line in lines]
    return entries


def _tables(folder: Path, entries: dict[str, list[str]], numbers: range) -> None:
    """Every table that a recipe has of a set, line by line."""
    folder.mkdir()
    draw = random.Random(0)
    letters = "abdehklmnoprstuw"  # those of the tiny recogniser
    lexicon = ["".join(draw.choices(letters, k=draw.randint(2, 5))) for _ in range(999)]
    with ExitStack() as files:

        def table(name: str):
            return files.enter_context(open(folder / name, "w", encoding="utf-8"))

        tables = {name: table(name) for name in entries}
        text, utt2spk, ctm = table("text"), table("utt2spk"), table("words.ctm")
        spk2utt = table("spk2utt")
        for i in numbers:
            key, speaker = key_of(i), f"EN_B{i // SPEAKER_UTTS:06d}"
            for name, file in tables.items():
                file.write(f"{key} {entries[name][i % RECORDINGS]}\n")
            words = draw.choices(lexicon, k=WORDS)
            text.write(f"{key} {' '.join(words)}\n")
            utt2spk.write(f"{key} {speaker}\n")
            for n, word in enumerate(words):
                ctm.write(f"{key} 1 {n / 10:.3f} 0.100 {word}\n")
            if i % SPEAKER_UTTS == 0 or i == numbers[0]:
                spk2utt.write(f"\n{speaker}" if i != numbers[0] else speaker)
            spk2utt.write(f" {key}")
        spk2utt.write("\n")
    (folder / "sample_rate").write_text(f"{RATE}\n")
    (folder / "spk_embed_dim").write_text(f"{WIDTH}\n")
    (folder / "unit_spec.yaml").write_text("num_units: 20\nunit_rate: 25.0\n")


def _models(folder: Path) -> None:
    """The tests' tiny system, for speakers of this width, and a recogniser."""
    system = tiny_system()
    from tiny_asr import save_ctc

    folder.mkdir(exist_ok=True)
    before, width = Path.cwd(), system.SPEAKER
    taste = system.TASTE | {"spk_embed_dim": WIDTH}
    try:
        system.SPEAKER = WIDTH
        system.make_system(folder, SimpleNamespace(chdir=os.chdir), taste)
        save_ctc(folder / "exp" / "asr")
    finally:
        system.SPEAKER = width
        os.chdir(before)


def tiny_system():
    """The tests' module of that name."""
    if str(ROOT / "tests") not in sys.path:
        sys.path.insert(0, str(ROOT / "tests"))
    import tiny_system

    return tiny_system
