"""Open connections, and those that the gateway closed, counted for Prometheus."""

from prometheus_client import Counter, Gauge

from serving.metrics import Metrics


class ConnectionMetrics:
    """Counts connections; an application's other metrics know only of whole requests."""

    def __init__(self, metrics: Metrics) -> None:
        """Add the connections' metrics to an application's."""
        self._open = Gauge("holofoil_connections", "Client connections open now.", registry=metrics.registry)
        self._cut = metrics.labelled(
            Counter,
            "holofoil_connections_cut",
            "Connections closed by the gateway. The reason is a problem's name (see /problems), or: the "
            "client sent nothing (`silent`) or did not read its answer (`unread`), or an idle connection "
            "made room for a new one (`crowded`).",
            ["reason"],
        )

    def opened(self) -> None:
        """Count a connection that was opened."""
        self._open.inc()

    def closed(self) -> None:
        """Count a connection that was closed."""
        self._open.dec()

    def cut(self, reason: str) -> None:
        """Count a connection that the gateway closes of its own accord.

        The reason is the name of the problem that was answered, `silent` if the client had sent nothing,
        `unread` if it did not read its answer, `crowded` if it made room for another one.
        """
        self._cut(reason).inc()
