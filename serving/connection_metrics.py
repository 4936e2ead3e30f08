"""What connections tell of themselves, counted for Prometheus."""

from prometheus_client import Counter, Gauge

from serving.metrics import Metrics
from serving.onlooker import Onlooker


class ConnectionMetrics(Onlooker):
    """Counts connections beside an application's other metrics, which know of whole requests only."""

    def __init__(self, metrics: Metrics) -> None:
        """Add the connections' metrics to an application's."""
        self._open = Gauge("holofoil_connections", "Connections that are open.", registry=metrics.registry)
        self._cut = metrics.labelled(
            Counter,
            "holofoil_connections_cut",
            "Connections that the gateway ended: by a problem's name, the client was `silent` or left its "
            "answer `unread`, or it was `crowded`.",
            ["reason"],
        )

    def came(self) -> None:
        """Count a connection."""
        self._open.inc()

    def went(self) -> None:
        """Count one less."""
        self._open.dec()

    def cut(self, reason: str) -> None:
        """Count one that was ended."""
        self._cut(reason).inc()
