"""What recognisers, aligners and meters are given."""

from dataclasses import dataclass


class Unavailable(RuntimeError):
    """A package or weights are not on this machine; the message says what to get."""


@dataclass(frozen=True)
class Recording:
    """One utterance to measure.

    Attributes:
        utt: id.
        entry: of ``wav.scp``.
        words: its own, normalised.
        reference: ``wav.scp`` entry of the recording to compare with; None: none.
        same_words: what ``reference`` says. False: only its speaker is the same (the
            recording a continuation's prompt is from).
    """

    utt: str
    entry: str
    words: tuple[str, ...] = ()
    reference: str | None = None
    same_words: bool = True
