"""The rows of a score table: their folders, texts and seeds."""

from dataclasses import dataclass
from pathlib import Path

from espnet2_taste.metrics.measure import Recording
from espnet2_taste.metrics.words import normalise_words


def read_scp(path: Path) -> dict[str, str]:
    """``id value...`` lines -> {id: value}, an empty value allowed.

    Raises:
        FileNotFoundError, ValueError: no such file, or an id twice.
    """
    if not path.exists():
        raise FileNotFoundError(f"no file {path}")
    entries: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        utt, _, value = line.strip().partition(" ")
        if utt in entries:
            raise ValueError(f"{path}: utterance {utt} appears twice")
        if utt:
            entries[utt] = value.strip()
    return entries


@dataclass(frozen=True)
class Row:
    """A system's output on the reference set, from one sampling seed.

    ``name:seed=folder`` on the command line; rows of one name are averaged. The folder
    holds ``wav.scp`` and, where the words are not the reference's, ``text``.
    """

    name: str
    seed: str
    folder: Path

    @property
    def key(self) -> str:
        return f"{self.name}:{self.seed}" if self.seed else self.name

    @classmethod
    def parse(cls, text: str) -> "Row":
        """``name=folder`` or ``name:seed=folder``."""
        key, equals, folder = text.partition("=")
        name, _, seed = key.partition(":")
        if not equals or not name or not folder:
            raise ValueError(f"row '{text}': expected name=folder or name:seed=folder")
        if not (Path(folder) / "wav.scp").exists():
            raise FileNotFoundError(f"row {key}: no file {folder}/wav.scp")
        return cls(name, seed, Path(folder))


def parse_rows(texts: list[str]) -> list[Row]:
    """Parse the rows of a table; a name and seed may appear once."""
    rows = [Row.parse(text) for text in texts]
    keys = [row.key for row in rows]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"row {twice[0]} is given twice; use {twice[0]}:<seed>")
    return rows


def row_recordings(
    row: Row, reference_text: dict[str, str], grammar: Path | None = None
) -> tuple[list[Recording], dict[str, list[str]]]:
    """A row's recordings and the words every reference utterance should have.

    Raises:
        ValueError: the row has an utterance the reference set has not.
    """
    text = dict(reference_text)
    if (row.folder / "text").exists():
        text.update(read_scp(row.folder / "text"))
    wavs = read_scp(row.folder / "wav.scp")
    foreign = [utt for utt in wavs if utt not in reference_text]
    if foreign:
        raise ValueError(
            f"row {row.key}: utterance {foreign[0]} is not in the reference set"
        )
    words = {utt: normalise_words(text[utt]) for utt in reference_text}
    recordings = [Recording(u, wavs[u], tuple(words[u]), grammar) for u in wavs]
    return recordings, words
