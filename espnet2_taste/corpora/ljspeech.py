"""LJSpeech 1.1: one reader, ``metadata.csv`` and ``wavs/``."""

from collections.abc import Iterator
from pathlib import Path

from espnet2_taste.corpora.abs_corpus import (
    NO_AUDIO,
    NO_TEXT,
    AbsCorpus,
    Utterance,
    find_folder,
)
from espnet2_taste.corpora.splits import check_parts, tail
from espnet2_taste.corpora.store import Store

HELD_OUT, PUBLISHED = 250, 13100


class LJSpeech(AbsCorpus):
    """``id|text|normalised text`` lines, without header and quoting.

    Parts as ESPnet's: of the sorted clips the last 250 are eval1, those before dev.

    Args:
        text: ``normalized`` (the third field) or ``original`` (the second).
        complete: whether to refuse less than all of it.
    """

    files = "LJSpeech-1.1/metadata.csv and wavs/*.wav"
    parts = "train, dev, eval1"
    downloads = "ljspeech"
    speaker = "LJ"

    def __init__(self, text: str = "normalized", complete: bool = True):
        super().__init__()
        if text not in ("normalized", "original"):
            raise ValueError(f"text is normalized or original, not {text}")
        self.column = 2 if text == "normalized" else 1
        self.complete = complete

    def read(self, root: Path, parts: list[str], store: Store) -> Iterator[Utterance]:
        names = self.parts.split(", ")
        check_parts(parts, names)
        folder = find_folder(
            root, ("LJSpeech-1.1",), lambda f: (f / "metadata.csv").is_file()
        )
        if folder is None:
            raise self.missing(root, "no metadata.csv")
        text = self.transcripts(folder / "metadata.csv")
        if not (folder / "wavs").is_dir():
            raise self.missing(root, "no wavs")
        wavs = {path.stem: path for path in (folder / "wavs").glob("*.wav")}
        self.check_count(str(folder), len(wavs.keys() & text.keys()), PUBLISHED)
        for name in sorted(wavs.keys() - text.keys()):
            reason = "macOS resource file" if name.startswith("._") else NO_TEXT
            self.skip(reason, wavs[name])
        order = sorted(text)
        for part, own in zip(names, tail(order, HELD_OUT), strict=True):
            for name in own if part in parts else ():
                if name not in wavs:
                    self.skip(NO_AUDIO, name)
                elif self.good_audio(wavs[name]):
                    yield Utterance(name, str(wavs[name]), text[name], self.speaker)

    def transcripts(self, path: Path) -> dict[str, str]:
        """Clip -> text; a text without its normalised form is taken as it is."""
        text = {}
        for line in self.read_lines(path):
            fields = line.split("|")
            if len(fields) != 3:
                self.skip("line of metadata.csv without three fields", line[:40])
            elif fields[0] in text:
                self.skip("id twice in metadata.csv", fields[0])
            else:
                text[fields[0].strip()] = fields[self.column] or fields[1]
        return text
