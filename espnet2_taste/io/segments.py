"""``segments``: utterances that are parts of recordings."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from espnet2_taste.io.sorted_tables import sorted_entries
from espnet2_taste.io.tables import parse_count, split_fields


class Segment(NamedTuple):
    """A part of a recording: a line of ``segments``, as Kaldi reads it.

    Attributes:
        recording: its id in ``wav.scp``.
        start: seconds.
        end: seconds; None (-1 in the file): where the recording ends.
        channel: from 0; None: the mean of all.
    """

    recording: str
    start: float
    end: float | None
    channel: int | None

    @classmethod
    def parse(cls, text: str) -> "Segment":
        """``recording start end [channel]``.

        Raises:
            ValueError: another form.
        """
        recording, *rest = split_fields(text)
        try:
            start, end = map(float, rest[:2])
            channel = parse_count(rest[2]) if rest[2:] else None
            if rest[3:] or not math.isfinite(start + end):
                raise ValueError
        except ValueError:
            raise ValueError(
                "expected 'recording start end [channel]' (seconds, a number from 0), "
                f"not '{text}'"
            ) from None
        return cls(recording, start, None if end == -1 else end, channel)


def iterate_segments(folder: Path) -> Iterator[tuple[str, Segment]]:
    """(utterance, part) of ``segments``, by utterance.

    Raises:
        FileNotFoundError, ValueError: see
            :func:`~espnet2_taste.io.sorted_tables.sorted_entries`; or a line of another
            form.
    """
    return sorted_entries(folder / "segments", parse=Segment.parse)
