"""The batcher's work: counted for Prometheus, and noted in the timings of each request."""

from prometheus_client import Counter, Gauge, Histogram

from serving import timings
from serving.backend import ModelInfo
from serving.contract import BATCH_SIZES, MAX_ROWS
from serving.metrics import SECONDS, Metrics
from serving.observer import Loss, Observer, Reason


class BatchMetrics(Observer):
    """Counts what the batcher reports, by model."""

    def __init__(self, metrics: Metrics) -> None:
        """Add the batcher's metrics to an application's."""
        self._metrics, labelled = metrics, metrics.labelled
        self._queue = labelled(
            Gauge, "holofoil_queue_rows", "Cards in the queue, waiting for a model call to start.", ["model"]
        )
        self._batches = labelled(
            Histogram,
            "holofoil_batch_rows",
            "Requested cards in each model call, without padding; the buckets are the batch sizes in use.",
            ["model"],
            buckets=BATCH_SIZES,
        )
        self._padding = labelled(
            Counter,
            "holofoil_padding_rows",
            "Padding rows added to model calls to reach the next batch size.",
            ["model"],
        )
        self._dispatches = labelled(
            Counter,
            "holofoil_dispatch",
            "Model calls by why they started: the batch was `full`, or a slot was `free` for fewer cards.",
            ["model", "reason"],
        )
        self._calls = labelled(
            Histogram,
            "holofoil_infer_seconds",
            "Duration of each model call in seconds, failed calls included.",
            ["model"],
            buckets=SECONDS,
        )
        self._rejected = labelled(
            Counter,
            "holofoil_rejected",
            "Requests rejected on arrival: the queue was `full`, or the expected wait too long, for the "
            "models (`late`) or for image decoding and encoding (`pixels`).",
            ["model", "reason"],
        )
        self._abandoned = labelled(
            Counter,
            "holofoil_abandoned_rows",
            "Queued cards dropped before they were computed: the client was `gone`, or the deadline had "
            "passed (`late`).",
            ["model", "reason"],
        )
        self._isolated = labelled(
            Counter, "holofoil_isolated", "Failed model calls that were split in half and retried.", ["model"]
        )

    def described(self, info: ModelInfo) -> None:
        """Name the models that answer now."""
        self._metrics.answering(info)

    def answered(self, rows: int, queued: float, inferred: float) -> None:
        """Note a request's cards, and how long they waited and were computed; this ends now."""
        current = timings.current()
        current.cards += rows
        current.passed("queue", queued, before=inferred)
        current.passed("infer", inferred)

    def waiting(self, model: str, rows: int) -> None:
        """Show how many rows wait."""
        self._queue(model).set(rows)

    def dispatched(self, model: str, rows: int, padding: int) -> None:
        """Count a call that begins."""
        self._batches(model).observe(rows)
        self._padding(model).inc(padding)
        self._dispatches(model, "full" if rows == MAX_ROWS else "free").inc()

    def called(self, model: str, seconds: float) -> None:
        """Count how long a call took."""
        self._calls(model).observe(seconds)

    def rejected(self, model: str, reason: Reason) -> None:
        """Count a request that was not let in."""
        self._rejected(model, reason).inc()

    def abandoned(self, model: str, rows: int, loss: Loss) -> None:
        """Count rows that nobody waits for any more."""
        self._abandoned(model, loss).inc(rows)

    def isolated(self, model: str) -> None:
        """Count a call that is halved."""
        self._isolated(model).inc()
