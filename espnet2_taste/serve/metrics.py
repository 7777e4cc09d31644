"""What Prometheus may ask: how many, how long, how large the batches."""

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one server; nothing is global."""

    def __init__(self):
        registry = self.registry = CollectorRegistry()
        given = {"registry": registry}
        self.requests = Counter(
            "taste_requests", "Answers by their status.", ["route", "status"], **given
        )
        self.seconds = Histogram(
            "taste_request_seconds", "Until the answer was sent.", ["route"], **given
        )
        self.at_work = Gauge("taste_requests_at_work", "Being answered.", **given)
        self.batches = Histogram(
            "taste_batch_size",
            "Items that were computed together.",
            ["kind"],
            buckets=_SIZES,
            **given,
        )
        self.speech = Counter(
            "taste_speech_seconds", "Speech heard and made.", ["way"], **given
        )

    def batch_size(self, kind: str) -> Callable[[int], None]:
        """Notes the size of a batch of this kind."""
        return self.batches.labels(kind).observe

    def text(self) -> bytes:
        """In Prometheus' format."""
        return generate_latest(self.registry)
