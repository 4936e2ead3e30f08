"""Everything an operator can set, read once from HOLOFOIL_* when the gateway is made."""

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from serving.contract import MAX_ROWS
from serving.rates import Rate

PREFIX = "HOLOFOIL_"
MEBIBYTE = 1024 * 1024
MAX_PORT = 65535
HERE = "here"
STARTER_MODELS = Path(__file__).parent / "models"
ORIGIN = re.compile(r"(?!http:.*:80$|https:.*:443$)https?://[a-z0-9.\[\]:-]+")  # as browsers write it

GRPC = re.compile(r"(?!https?:)(unix:|.*:\d+$)")


def to_rate(given: object) -> object:
    """Read a rate such as 600/minute; it must allow the largest request, not counting morphs."""
    rate = Rate.parse(given) if isinstance(given, str) else given
    if isinstance(rate, Rate) and rate.cards < MAX_ROWS:
        raise ValueError(f"allow at least {MAX_ROWS} cards, which one request may ask for")
    return rate


def comma_separated(given: str | None) -> list[str]:
    """Split a comma-separated list."""
    return [name.strip() for name in given.split(",")] if given else []


CardRate = Annotated[Rate | None, NoDecode, BeforeValidator(to_rate)]


class Settings(BaseSettings):
    """One gateway's settings: environment variables HOLOFOIL_<FIELD>, of which empty ones count as unset."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,  # the URL of a store may hold a password
        use_attribute_docstrings=True,
    )

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8000, ge=0, le=MAX_PORT)
    """Port to listen on; 0 picks a free one."""
    tfserving: str | None = None
    """host:port of TF Serving's gRPC endpoint; unset: the models run in this process (embedded)."""
    models: Path = STARTER_MODELS
    """Model store of the embedded backend, with generator/<version>/ and discriminator/<version>/."""
    deadline: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    """Seconds a request may wait for the models."""
    max_rows: int = Field(default=1024, ge=MAX_ROWS)
    """Queue limit: cards that may wait for a model; requests beyond it are rejected at once."""
    max_wait: float = Field(default=0.8, gt=0)
    """Limit on a request's expected queueing time, in seconds; those that would wait longer are rejected."""
    slots: int = Field(default=2, ge=1, le=16)
    """Concurrent model calls: a single one leaves cores idle, too many compete for them."""
    drain_delay: float = Field(default=5.0, ge=0, allow_inf_nan=False)
    """Seconds to keep serving after SIGTERM, while /readyz already reports the shutdown."""
    max_body: int = Field(default=32 * MEBIBYTE, gt=0)
    """Largest request body, in bytes."""
    max_file: int = Field(default=8 * MEBIBYTE, gt=0)
    """Largest uploaded file, in bytes."""
    max_bodies: int = Field(default=128 * MEBIBYTE, gt=0, validate_default=True)
    """Memory limit for all request bodies together, in bytes; beyond it, clients are told to retry."""
    max_connections: int = Field(default=4096, ge=1)
    """Concurrent connections; beyond that, a new one replaces the one that has been idle longest."""
    body_timeout: float = Field(default=15.0, gt=0, allow_inf_nan=False)
    """Seconds a client may take to send a request's head, and as many again for its body."""
    answer_timeout: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    """Seconds a client may take to read an answer."""
    keys_file: Path | None = None
    """File of API keys, one name:sha256:rights a line; unset: everybody may do everything."""
    rate_key: CardRate = None
    """Rate limit in cards for each API key, such as 600/minute; unset: no limit."""
    rate_address: CardRate = None
    """Rate limit in cards for each address without a key, such as 60/minute; unset: no limit."""
    rate_store: SecretStr | None = None
    """redis://host:port/db through which several gateways share rate limits; unset: each counts alone."""
    trusted_proxies: str | None = None
    """Addresses or networks of proxies whose X-Forwarded-For is trusted, comma-separated; unset: none."""
    origins: str | None = None
    """CORS: sites whose pages may call this gateway, comma-separated: https://site.example; unset: none."""
    metrics: str | None = None
    """host:port to serve Prometheus metrics on; `here`: at /metrics on the gateway's own port; unset: off."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged: info logs each request, debug health checks too."""
    log_format: Literal["auto", "json", "text"] = "auto"
    """Format of the log on stderr: json or text; auto: text on a terminal, json elsewhere."""

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """Host and port for metrics alone, or None if they have none."""
        if self.metrics in (None, HERE):
            return None
        host, _, port = self.metrics.rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)

    @field_validator("max_bodies")
    @classmethod
    def room_for_one(cls, max_bodies: int, info: ValidationInfo) -> int:
        """Refuse less than the largest body: its client would be told to retry for ever."""
        if max_bodies < info.data.get("max_body", 0):
            raise ValueError("allow at least as many bytes as HOLOFOIL_MAX_BODY")
        return max_bodies

    @field_validator("rate_store")
    @classmethod
    def only_redis(cls, url: SecretStr | None) -> SecretStr | None:
        """Refuse anything but the URL of a Redis, without repeating it: it may hold a password."""
        if url and not re.match(r"rediss?://|redis\+unix://", url.get_secret_value()):
            raise ValueError("give the URL of a Redis, redis://host:port/db")
        return url

    @field_validator("origins")
    @classmethod
    def exact_origins(cls, origins: str | None) -> str | None:
        """Refuse anything but exact origins."""
        if not all(ORIGIN.fullmatch(origin) for origin in comma_separated(origins)):
            raise ValueError(
                "give each site as browsers write it, https://site.example: in small letters, without *, "
                "a path or the usual port"
            )
        return origins

    @field_validator("metrics")
    @classmethod
    def an_address(cls, metrics: str | None) -> str | None:
        """Require a host and a port; the host decides who can read the metrics."""
        if metrics in (None, HERE):
            return metrics
        host, _, port = metrics.rpartition(":")
        if not host or not port.isdecimal() or int(port) > MAX_PORT:
            raise ValueError(f"give host:port, such as 127.0.0.1:9464, or `{HERE}`")
        return metrics

    @field_validator("tfserving")
    @classmethod
    def grpc_address(cls, target: str | None) -> str | None:
        """Refuse the commonest slips: the URL of TF Serving's REST port, or no port, where gRPC takes 443."""
        if target and not GRPC.match(target):
            raise ValueError("give host:port of gRPC, such as tfserving:8500, and no URL")
        return target

    @field_validator("trusted_proxies")
    @classmethod
    def addresses(cls, proxies: str | None) -> str | None:
        """Refuse anything but addresses: uvicorn would take it for a host name, which no connection has."""
        for name in comma_separated(proxies):
            try:
                ip_network(name)
            except ValueError as error:
                raise ValueError(f"give addresses or networks, as 10.0.0.0/8: {error}") from None
        return proxies
