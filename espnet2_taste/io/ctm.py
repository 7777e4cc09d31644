"""Word times in NIST's CTM form: ``utt channel start duration word [...]`` lines."""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from espnet2_taste.io.tables import read_entries, split_fields


class TimedWord(NamedTuple):
    """A word, when it starts and how long it lasts, in seconds."""

    start: float
    duration: float
    word: str

    @property
    def end(self) -> float:
        return self.start + self.duration


def read_ctm(
    path: str | Path, keys: Collection[str] | None = None
) -> dict[str, list[TimedWord]]:
    """utterance -> its words in the order of the file; comments (``;;``) are skipped.

    Args:
        path: of the file.
        keys: utterances to keep (a set, or a table); None: all, 0.3 kB a word.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line of another form; the message names it.
    """
    words: dict[str, list[TimedWord]] = {}
    for number, utt, rest in read_entries(path, allow_empty=True, keys=keys):
        if utt.startswith(";;"):
            continue
        try:
            _, timed = parse_ctm_line(f"{utt} {rest}")
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        words.setdefault(utt, []).append(timed)
    return words


def parse_ctm_line(line: str) -> tuple[str, TimedWord]:
    """The utterance and the word of a line.

    Raises:
        ValueError: another form.
    """
    try:
        utt, _, start, duration, word = split_fields(line)[:5]
        timed = TimedWord(float(start), float(duration), word)
        if not 0 <= timed.start <= timed.end < float("inf"):
            raise ValueError
    except ValueError:
        raise ValueError("expected 'utt channel start duration word'") from None
    return utt, timed
