"""What every meter offers: numbers of recordings, whatever table they end in."""

from abc import ABC, abstractmethod

from espnet2_taste.asr.recording import Recording, Unavailable

__all__ = ["AbsMeter", "Recording", "Unavailable"]


class AbsMeter(ABC):
    """Measures recordings; results depend on nothing but the recording.

    A constructor raises :class:`Unavailable` when it lacks a package or weights, and
    leaves loading them to the first call: it also runs when nothing is to be measured.

    Attributes:
        name: short; of its cache folder.
        kinds: metric key -> kind of :class:`~espnet2_taste.evaluate.statistics
            .Statistics` of the metrics it gives. Every key has a ``Column`` in
            ``scoring.columns``.
        needs_reference: measures ``entry`` against ``reference``; {} is the result
            where the reference does not allow that.
        needs_words: results depend on ``words``.
        on_device: batched in this process on a device, rather than one recording at a
            time in a pool of processes.
    """

    name: str
    kinds: dict[str, str]
    needs_reference: bool = False
    needs_words: bool = False
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
