"""The rows of a score table: their folders, texts and seeds."""

import re
from dataclasses import dataclass
from pathlib import Path

from espnet2_taste.evaluate.scorers.abs_meter import Recording
from espnet2_taste.io.tables import read_table
from espnet2_taste.text.normalise import spaced_words

REFERENCE_ROW = "original"
_NAME = re.compile(r"\w[\w.-]*")  # files are called after rows


def row_key(name: str, seed: str) -> str:
    """What tells rows and their seeds apart: ``name:seed``, or ``name`` without one."""
    return f"{name}:{seed}" if seed else name


@dataclass(frozen=True)
class Row:
    """A system's output on the reference set, from one sampling seed.

    ``name:seed=folder`` on the command line; rows of one name are averaged. The folder
    holds ``wav.scp`` and, where the words are not the reference's, ``text``; or it is
    itself a ``wav.scp`` file with nothing beside it.
    """

    name: str
    seed: str
    folder: Path

    @property
    def key(self) -> str:
        return row_key(self.name, self.seed)

    @property
    def wav_scp(self) -> Path:
        return self.folder if self.folder.is_file() else self.folder / "wav.scp"

    @classmethod
    def parse(cls, text: str) -> "Row":
        """``name=folder`` or ``name:seed=folder``, a ``wav.scp`` instead of a folder.

        Raises:
            ValueError, FileNotFoundError: another form, or no such file.
        """
        key, equals, folder = text.partition("=")
        name, _, seed = key.partition(":")
        if not equals or not name or not folder:
            raise ValueError(f"row '{text}': expected name=folder or name:seed=folder")
        if not _NAME.fullmatch(name) or not _NAME.fullmatch(seed or "0"):
            raise ValueError(f"row '{key}': a name is letters, digits, '_', '-', '.'")
        row = cls(name, seed, Path(folder))
        if not row.wav_scp.exists():
            raise FileNotFoundError(f"row {key}: no file {row.wav_scp}")
        return row

    def read(self, file: str) -> dict[str, str]:
        """A table of the folder; {} if there is none."""
        path = self.folder / file
        return read_table(path, allow_empty=True) if path.exists() else {}


def parse_rows(texts: list[str]) -> list[Row]:
    """Parse the rows of a table; a name and seed may appear once."""
    rows = [Row.parse(text) for text in texts]
    keys = [row.key for row in rows]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"row {twice[0]} is given twice; use {twice[0]}:<seed>")
    return rows


def row_recordings(
    row: Row, texts: dict[str, str], references: dict[str, str], same_words: bool
) -> list[Recording]:
    """A row's recordings, in its order.

    Args:
        row: to read.
        texts: utt -> what a recording of it says.
        references: utt -> ``wav.scp`` entry of the original.
        same_words: whether that says the same.

    Raises:
        ValueError: the row has an utterance the reference set has not.
    """
    wavs = read_table(row.wav_scp, allow_empty=True)
    foreign = [utt for utt in wavs if utt not in texts]
    if foreign:
        raise ValueError(
            f"row {row.key}: utterance {foreign[0]} of {row.wav_scp} is not in the "
            "reference set's text"
        )
    return [
        Recording(
            utt,
            entry,
            tuple(spaced_words(texts[utt])),
            references.get(utt),
            same_words,
        )
        for utt, entry in wavs.items()
    ]
