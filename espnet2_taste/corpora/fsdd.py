"""Free Spoken Digit Dataset: single digits, joined here to sentences."""

import random
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from espnet2_taste.corpora.abs_corpus import AbsCorpus, Utterance, find_folder
from espnet2_taste.corpora.splits import check_parts
from espnet2_taste.corpora.store import Store
from espnet2_taste.io.audio import load_audio, resample, to_mono

DIGITS = "zero one two three four five six seven eight nine".split()
_NAME = re.compile(r"(\d)_([a-zA-Z]+)_(\d+)\.wav")
#: Takes of each speaker and digit: 0 to 4 are for testing (the data set's convention).
TAKES = {"test": range(5), "dev": range(5, 8), "train": range(8, 1000)}
SENTENCES = {"train": 1500, "dev": 64, "test": 96, "unseen": 96}
RATE = 8000


class FSDD(AbsCorpus):
    """Sentences of three to six digits, recordings of one speaker with pauses between.

    Parts: train, dev, test (other takes of the same speakers) and unseen (one speaker,
    who is in no other part). Their sentences differ, too: what is said decides where a
    sentence may be. All is drawn from the seed.

    Args:
        unseen: the speaker of that part.
        seed: of sentences, takes and pauses.
        pause: shortest and longest pause between digits, seconds.
        sentences: of a part; default: 1500 in train, 64 in dev, 96 in the others.
    """

    files = (
        "recordings/<digit>_<speaker>_<take>.wav, or the zip that GitHub makes of it"
    )
    parts = "train, dev, test, unseen"
    downloads = "fsdd"

    def __init__(
        self,
        unseen: str = "theo",
        seed: int = 0,
        pause: tuple[float, float] = (0.03, 0.3),
        sentences: int | None = None,
    ):
        super().__init__()
        self.unseen, self.seed, self.pause = unseen, seed, pause
        self.sentences = sentences

    def read(self, root: Path, parts: list[str], store: Store) -> Iterator[Utterance]:
        check_parts(parts, list(SENTENCES))
        sources = self.sources(Path(root))
        speakers = sorted({speaker for speaker, _, _ in sources})
        if self.unseen not in speakers or len(speakers) < 2:
            raise ValueError(
                f"{root} has no speaker {self.unseen}, or no other: "
                f"{', '.join(speakers)} (--layout_conf unseen=...)"
            )
        for part in parts:
            own = [s for s in speakers if (s == self.unseen) == (part == "unseen")]
            yield from self.part(part, own, sources, store)

    def sources(self, root: Path) -> dict[tuple[str, int, int], str]:
        """(speaker, digit, take) -> path, or slice of the zip."""
        archives = [root] if root.suffix == ".zip" else sorted(root.glob("*.zip"))
        folder = find_folder(
            root,
            (
                "recordings",
                "free-spoken-digit-dataset-master/recordings",
                "free-spoken-digit-dataset/recordings",
            ),
            lambda f: any(f.glob("[0-9]_*_*.wav")),
        )
        found = {}
        if folder is not None:
            for path in folder.glob("*.wav"):
                match = _NAME.fullmatch(path.name)
                if path.name.startswith("."):
                    self.skip("macOS resource file", path)
                elif match is None:
                    self.skip("no name like 7_theo_12.wav", path)
                elif self.good_audio(path):
                    found[match[2], int(match[1]), int(match[3])] = path
        elif archives and archives[0].is_file():
            found = self.zipped(archives[0])
        if not found:
            raise self.missing(root, "no recording of a digit")
        return found

    def zipped(self, path: Path) -> dict:
        try:
            with zipfile.ZipFile(path) as archive:
                matches = [
                    (match, name)
                    for name in archive.namelist()
                    if (match := _NAME.fullmatch(name.rpartition("/")[2]))
                ]
                return {
                    (match[2], int(match[1]), int(match[3])): archive.read(name)
                    for match, name in matches
                }
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ValueError(f"{path} is truncated or damaged ({error})") from None

    def part(
        self, part: str, speakers: list[str], sources: dict, store: Store
    ) -> Iterator[Utterance]:
        """The sentences of one part, the speakers in turns."""
        takes = TAKES.get(part, range(1000))
        pools = {}
        for speaker, digit, take in sorted(sources):
            if speaker in speakers and take in takes:
                pools.setdefault((speaker, digit), []).append(take)
        for speaker in speakers:
            absent = [d for d in range(10) if (speaker, d) not in pools]
            if absent:
                raise FileNotFoundError(
                    f"part {part}: no take of digit {absent[0]} by {speaker} among "
                    f"{takes.start} to {takes.stop - 1}"
                )
        rng = random.Random(f"{self.seed} {part}")
        turns: dict = {}
        count = SENTENCES[part] if self.sentences is None else int(self.sentences)
        for index in range(count):
            speaker = speakers[index % len(speakers)]
            digits = self.draw(rng, part)
            chosen = [
                (speaker, digit, _next(rng, turns, pools, (speaker, digit)))
                for digit in digits
            ]
            name = f"{speaker}-{part}-{index:05d}"
            wav = self.join([(key, sources[key]) for key in chosen], rng)
            if wav is None:
                self.skip("a recording of it is damaged", name)
                continue
            entry = store.add_wav(name, wav, RATE)
            text = " ".join(DIGITS[digit] for digit in digits)
            yield Utterance(name, entry, text, speaker, len(wav) / RATE)

    def draw(self, rng: random.Random, part: str) -> list[int]:
        """Digits of a sentence that may be in ``part``."""
        while True:
            digits = [rng.randrange(10) for _ in range(rng.randint(3, 6))]
            text = "".join(map(str, digits))
            bucket = zlib.crc32(f"{self.seed} {text}".encode()) % 10
            owner = {0: "dev", 1: "test", 2: "unseen"}.get(bucket, "train")
            if owner == part:
                return digits

    def join(self, recordings: list, rng: random.Random) -> np.ndarray | None:
        """(N,) with pauses as loud as the quietest 10 ms beside them; None: damaged."""
        pieces = []
        for (speaker, digit, take), source in recordings:
            try:
                if not isinstance(source, bytes):
                    source = str(source)
                wav, rate = load_audio(source, f"{digit}_{speaker}_{take}")
            except (OSError, ValueError) as error:
                self.note("damaged recording", error)
                return None
            wav = resample(to_mono(wav), rate, RATE)
            if pieces:
                noise = np.random.default_rng(rng.getrandbits(32))
                size = int(RATE * rng.uniform(*map(float, self.pause)))
                level = min(_floor(pieces[-1]), _floor(wav))
                pieces.append(level * noise.standard_normal(size))
            pieces.append(wav)
        return np.concatenate(pieces)


def _next(rng: random.Random, turns: dict, pools: dict, key: tuple) -> int:
    """A take: each once in random order, then again."""
    if not turns.get(key):
        turns[key] = rng.sample(pools[key], len(pools[key]))
    return turns[key].pop()


def _floor(wav: np.ndarray) -> float:
    """Root mean square of the quietest 10 ms."""
    frame = RATE // 100
    whole = wav[: len(wav) // frame * frame].reshape(-1, frame)
    return float(np.sqrt((whole**2).mean(axis=1).min())) if len(whole) else 0.0
