"""What every meter offers: numbers of recordings, whatever table they end in."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path


class Unavailable(RuntimeError):
    """A package or weights are not on this machine; the message says what to get."""


@dataclass(frozen=True)
class Recording:
    """One utterance to measure.

    Attributes:
        utt: id.
        entry: of ``wav.scp``.
        words: its own, normalised (see ``words``).
        reference: ``wav.scp`` entry of the recording to compare with; None: none.
        grammar: JSGF file for the recogniser, None for its general LM.
    """

    utt: str
    entry: str
    words: tuple[str, ...] = ()
    reference: str | None = None
    grammar: Path | None = None


class AbsMeter(ABC):
    """Measures recordings; results depend on nothing but the recording.

    A constructor raises :class:`Unavailable` when it lacks a package or weights.

    Attributes:
        name: short; of its cache folder.
        kinds: metric key -> kind of :class:`~espnet2_taste.metrics.statistics
            .Statistics` of the metrics it gives. Every key has a ``Column`` in
            ``metrics.table``.
        needs_reference: measures ``entry`` against ``reference``.
        on_device: batched in this process on a device, rather than one recording at a
            time in a pool of processes.
    """

    name: str
    kinds: dict[str, str]
    needs_reference: bool = False
    on_device: bool = False

    @property
    @abstractmethod
    def identity(self) -> str:
        """Package, version, weights: named in the results and part of cache keys."""

    @abstractmethod
    def __call__(self, recordings: list[Recording]) -> list[dict[str, list[float]]]:
        """Measure.

        Returns:
            per recording, metric key -> its (K,) share of the sums (see
            ``statistics.KINDS``). A recording that cannot be measured lacks the key
            (logged with its id); nothing is raised for one bad recording.
        """
