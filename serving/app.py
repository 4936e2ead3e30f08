"""Puts the gateway together: routes, guards, the page, and a backend for the time the server runs."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread
from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from opentelemetry.trace import Tracer

from serving import refusals, tracing
from serving.access import AccessControl, MayMeasure
from serving.access_metrics import show_access
from serving.admission import Admission, Turnstile
from serving.backend import Backend, BackendError
from serving.batch_metrics import BatchMetrics
from serving.batcher import Batcher
from serving.connection_metrics import ConnectionMetrics
from serving.cores import cores
from serving.doorstep import Doorstep
from serving.envelope import Envelope
from serving.exchange import Watch, Witness
from serving.gateway import Gateway
from serving.keys import Keyring
from serving.life import Life
from serving.limits import BodyGuard
from serving.linger import Linger
from serving.logs import PROBES, AccessLog
from serving.metrics import Metrics
from serving.openapi import Holofoil
from serving.origins import Origins
from serving.patience import Patience
from serving.pixels import Pixels
from serving.rates import Memory, RedisStore
from serving.routes import card, generate, handbook, models, morph, score, status
from serving.settings import HERE, Settings, names

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider  # of the extra `tracing`

PAGE = Path(__file__).parent / "page"

logger = logging.getLogger(__name__)


def create_app(
    settings: Settings | None = None,
    backend: Backend | None = None,
    tracer_provider: "TracerProvider | None" = None,
) -> FastAPI:
    """Make the gateway. Without settings they come from HOLOFOIL_*, without a backend from the settings.

    The backend is closed when the application ends, also one that was given, and so is the tracer provider;
    without one, requests are traced where OTEL_EXPORTER_OTLP_ENDPOINT names a collector.
    app.state.life tells how the process stands; app.state.metrics holds what Prometheus is told;
    app.state.witnesses hear of every request; app.state.doorstep and app.state.connection_metrics are for the
    server.
    Raises BadKeys for a file of keys that cannot be read.
    """
    chosen = settings or Settings()
    hush_libraries()
    store = RedisStore(chosen.rate_store.get_secret_value()) if chosen.rate_store else Memory()
    metrics = Metrics()
    life = Life()
    provider = tracer_provider or tracing.provider_for(os.environ)
    tracer = provider.get_tracer(__name__) if provider else None
    witnesses: list[Witness] = [metrics, AccessLog()]
    batcher = Batcher(
        backend or open_backend(chosen),
        max_rows=chosen.max_rows,
        max_wait=chosen.max_wait,
        slots=chosen.slots,
        observer=BatchMetrics(metrics),
        on_failure=life.fail,
    )
    gateway = Gateway(chosen, batcher, Pixels(cores()))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with running(gateway, metrics):
            yield
        await store.close()
        if provider:
            await to_thread.run_sync(provider.shutdown)

    app = Holofoil(
        title="Holofoil",
        summary="Trading cards from a GAN, and what its discriminator thinks of yours.",
        version=version("holofoil"),
        lifespan=lifespan,
        redirect_slashes=False,  # such a redirect would lead wherever the Host header says
        docs_url=None,  # FastAPI's documentation pages load their scripts from a CDN
        redoc_url=None,
        telemetry=tracing.telemetry(provider, untraced=PROBES),
    )
    keyring = Keyring(chosen.keys_file) if chosen.keys_file else None
    app.state.access = AccessControl(keyring, {"key": chosen.rate_key, "address": chosen.rate_address}, store)
    show_access(metrics, keyring, store)
    app.state.gateway = gateway
    app.state.life = life
    app.state.metrics = metrics
    app.state.witnesses = witnesses
    admission = Admission(gateway, chosen.deadline)
    # Spans are drawn, other sites' pages let in, and proxies believed, behind ASGI alone.
    behind = tracer or chosen.origins or chosen.trusted_proxies
    app.state.connection_metrics = ConnectionMetrics(metrics)
    app.state.doorstep = None if behind else Doorstep(admission, life, witnesses, chosen.max_body)
    refusals.install(app)
    add_routes(app, chosen)
    add_guards(app, chosen, admission, tracer)
    return app


@asynccontextmanager
async def running(gateway: Gateway, metrics: Metrics) -> AsyncGenerator[None]:
    """Load the models and measure the event loop for as long as the gateway runs, and close what it has."""
    beside = [asyncio.create_task(load(gateway.batcher)), asyncio.create_task(metrics.watch_loop())]
    yield
    for task in beside:
        task.cancel()
    await asyncio.wait(beside)
    await gateway.batcher.close()
    gateway.pixels.close()


def add_routes(app: FastAPI, settings: Settings) -> None:
    """Have every address answered, the page and its files too."""
    for route in (generate, card, morph, score, models, status, handbook):
        app.include_router(route.router)
    app.state.page = StaticFiles(directory=PAGE)
    app.add_api_route("/", page, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/page", app.state.page)
    if settings.metrics == HERE:
        app.add_api_route("/metrics", scrape, methods=["GET", "HEAD"], include_in_schema=False)


def add_guards(app: FastAPI, settings: Settings, admission: Admission, tracer: Tracer | None) -> None:
    """Put around the routes what every request passes: each layer lies around those before it."""
    app.add_middleware(Patience, seconds=settings.deadline)
    app.add_middleware(Turnstile, admission=admission)
    app.add_middleware(
        BodyGuard, limit=settings.max_body, timeout=settings.body_timeout, room=settings.max_bodies
    )
    if settings.origins:
        app.add_middleware(Origins, allowed=names(settings.origins))
    app.add_middleware(Envelope, life=app.state.life)
    app.add_middleware(Watch, witnesses=app.state.witnesses, tracer=tracer)
    app.add_middleware(Linger)


def hush_libraries() -> None:
    """Keep out of the log what libraries write of uploads, whatever level is set for all others."""
    logging.getLogger("PIL").setLevel(logging.INFO)  # at DEBUG: what pictures say of themselves
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # a line and a byte for each malformed body


async def page(request: Request) -> Response:
    """Return the web page, or 304 to whom has it already."""
    files: StaticFiles = request.app.state.page
    return await files.get_response("index.html", request.scope)


async def scrape(request: Request, _: MayMeasure) -> Response:
    """Answer Prometheus."""
    metrics: Metrics = request.app.state.metrics
    return await to_thread.run_sync(metrics.page, request.headers.get("accept", ""))


def open_backend(settings: Settings) -> Backend:
    """Choose the backend that the settings name. TensorFlow is only ever imported for the embedded one."""
    if settings.tfserving:
        from serving.tfserving import TFServingBackend

        return TFServingBackend(settings.tfserving, settings.deadline)
    from serving.embedded import EmbeddedBackend

    return EmbeddedBackend(settings.models, settings.deadline, settings.slots)


async def load(models: Batcher) -> None:
    """Have the models loaded before the first request; a failure is logged, and /readyz tells it too."""
    try:
        info = await models.info()
    except BackendError as error:
        logger.warning("The models are not ready: %s", error)
    except Exception:
        logger.exception("The models could not be loaded")
    else:
        logger.info("The models of version %s are ready", info.version)
