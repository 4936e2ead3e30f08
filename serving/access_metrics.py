"""Whether access control works as the operator has set it up, told to Prometheus."""

from prometheus_client import Gauge

from serving.keys import Keyring
from serving.metrics import Metrics
from serving.rates import RedisStore, Store


class AccessMetrics:
    """Shows the faults of access control, which stop nobody, beside an application's other metrics.

    Both are as the last request found them: without one, neither Redis nor the file is looked at.
    """

    def __init__(self, metrics: Metrics, keys: Keyring | None, store: Store) -> None:
        """Add the metrics of access control to an application's."""
        alone = Gauge(
            "holofoil_rates_alone",
            "1 while Redis does not answer and this gateway counts rate limits on its own, else 0.",
            registry=metrics.registry,
        )
        broken = Gauge(
            "holofoil_keys_file_broken",
            "1 while the changed keys file cannot be read and the old keys stay in force, else 0.",
            registry=metrics.registry,
        )
        alone.set_function(lambda: isinstance(store, RedisStore) and store.failing)
        broken.set_function(lambda: keys is not None and keys.broken)
