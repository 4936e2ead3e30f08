"""Whether access control works as the operator has set it up, for Prometheus."""

from prometheus_client import Gauge

from serving.keys import Keyring
from serving.metrics import Metrics
from serving.rates import RedisStore, Store


def show_access(metrics: Metrics, keys: Keyring | None, store: Store) -> None:
    """Add the faults of access control, with which the gateway goes on, to an application's metrics.

    Both are as the last request found them: without requests, neither Redis nor the file is looked at.
    """
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
