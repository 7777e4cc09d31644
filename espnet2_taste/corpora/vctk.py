"""VCTK 0.92 and 0.80: a folder for each speaker, in one of texts and one of audio."""

from collections.abc import Iterator
from pathlib import Path

from espnet2_taste.corpora.abs_corpus import (
    NO_AUDIO,
    NO_TEXT,
    AbsCorpus,
    Utterance,
    find_folder,
    subfolders,
)
from espnet2_taste.corpora.splits import check_parts, tail
from espnet2_taste.corpora.store import Store

AUDIO = ("wav48_silence_trimmed", "wav48")
#: Sentences 1 to 24 are read by all speakers.
SHARED = 24


class VCTK(AbsCorpus):
    """Parts by sentence or by speaker; sentences that all speakers read are for
    training only, else test sentences would be trained on.

    Args:
        split: ``sentence``: the last five sentences of each speaker are for testing,
            the five before for development (ESPnet's); ``speaker``: the last ten
            speakers, the ten before.
        mic: microphone of 0.92, 1 or 2 (p280 has no 2).
    """

    files = "txt/<speaker>/*.txt and wav48_silence_trimmed/<speaker>/*.flac (0.92) or "
    files += "wav48/<speaker>/*.wav (0.80)"
    parts = "train, dev, eval"
    downloads = "vctk"

    def __init__(self, split: str = "sentence", mic: int = 1):
        super().__init__()
        if split not in ("sentence", "speaker") or mic not in (1, 2):
            raise ValueError("split is sentence or speaker, mic is 1 or 2")
        self.split, self.mic = split, mic

    def read(self, root: Path, parts: list[str], store: Store) -> Iterator[Utterance]:
        names = self.parts.split(", ")
        check_parts(parts, names)
        folder = find_folder(
            root,
            ("VCTK-Corpus-0.92", "VCTK-Corpus"),
            lambda f: (f / "txt").is_dir() and any((f / a).is_dir() for a in AUDIO),
        )
        if folder is None:
            raise self.missing(root, "no txt, or no audio")
        audio = next(folder / name for name in AUDIO if (folder / name).is_dir())
        speakers = subfolders(audio)
        groups = tail(speakers, 10) if self.split == "speaker" else None
        for speaker in speakers:
            found = list(self.speaker(speaker, folder / "txt" / speaker.name))
            own = [u for u in found if _number(u.name) > SHARED]
            if groups is None:
                _, dev, test = tail(own, 5)
            else:
                dev = own if speaker in groups[1] else []
                test = own if speaker in groups[2] else []
            held_out = {utterance.name for utterance in [*dev, *test]}
            all_held_out = groups is not None and speaker not in groups[0]
            train = [u for u in found if u.name not in held_out and not all_held_out]
            for part, members in zip(names, (train, dev, test), strict=True):
                yield from members if part in parts else ()

    def speaker(self, audio: Path, texts: Path) -> Iterator[Utterance]:
        """Utterances of one speaker, in the order of the sentences."""
        new = audio.parent.name == AUDIO[0]
        ending = f"_mic{self.mic}.flac" if new else ".wav"
        files = {
            path.name.removesuffix(ending): path
            for path in audio.glob(f"*{ending}")
            if not path.name.startswith(".")
        }
        text = {p.stem: p for p in texts.glob("*.txt") if not p.name.startswith(".")}
        for name in sorted(text.keys() - files.keys()):
            self.skip(NO_AUDIO, name)
        for name in sorted(files):
            if name not in text:
                self.skip(NO_TEXT, files[name])
            elif self.good_audio(files[name]):
                said = self.read_text(text[name])
                yield Utterance(name, str(files[name]), said, audio.name)


def _number(name: str) -> int:
    """Of the sentence in ``p225_001``."""
    number = name.rpartition("_")[2]
    return int(number) if number.isdecimal() else 0
