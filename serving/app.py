"""Puts the gateway together: routes, the layers around them, the page, and a backend."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread
from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from opentelemetry.trace import Tracer

from serving import refusals, tracing
from serving.access import AccessControl, MayMeasure
from serving.access_metrics import show_access
from serving.admission import Admission, AdmissionGate
from serving.backend import Backend, BackendError
from serving.batch_metrics import BatchMetrics
from serving.batcher import Batcher
from serving.cores import cores
from serving.envelope import Envelope
from serving.exchange import Watch
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
from serving.rates import MemoryStore, RedisStore
from serving.routes import card, generate, models, morph, problems, score, status
from serving.settings import HERE, Settings, comma_separated
from serving.shedding import LoadShedder

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

    The backend and the tracer provider, also given ones, are closed when the application ends. Without a
    provider, requests are traced if OTEL_EXPORTER_OTLP_ENDPOINT names a collector.
    app.state.life is the state of the process; app.state.metrics are for Prometheus; app.state.witnesses hear
    of every request; app.state.shedder is for the server.
    Raises BadKeys for a file of keys that cannot be read, BadStore for a store of rates that cannot be used.
    """
    chosen = settings or Settings()
    hush_libraries()
    keyring = Keyring(chosen.keys_file) if chosen.keys_file else None
    store = RedisStore(chosen.rate_store.get_secret_value()) if chosen.rate_store else MemoryStore()
    provider = tracer_provider or tracing.provider_for(os.environ)
    metrics, life = Metrics(), Life()
    batcher = batcher_of(backend or open_backend(chosen), chosen, metrics, life)
    gateway = Gateway(chosen, batcher, Pixels(cores()))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with running(gateway, metrics):
            yield
        await store.close()
        if provider:
            await to_thread.run_sync(provider.shutdown)

    app = Holofoil(lifespan, tracing.telemetry(provider, untraced=PROBES))
    app.state.gateway, app.state.metrics, app.state.life = gateway, metrics, life
    app.state.witnesses = [metrics, AccessLog()]
    app.state.access = AccessControl(keyring, {"key": chosen.rate_key, "address": chosen.rate_address}, store)
    show_access(metrics, keyring, store)
    refusals.install(app)
    add_routes(app, chosen)
    add_guards(app, gateway, provider.get_tracer(__name__) if provider else None)
    return app


def batcher_of(backend: Backend, settings: Settings, metrics: Metrics, life: Life) -> Batcher:
    """Make the batcher in front of a backend, as the settings say."""
    return Batcher(
        backend,
        max_rows=settings.max_rows,
        max_wait=settings.max_wait,
        slots=settings.slots,
        observer=BatchMetrics(metrics),
        on_failure=life.fail,
    )


@asynccontextmanager
async def running(gateway: Gateway, metrics: Metrics) -> AsyncGenerator[None]:
    """Load the models and measure the event loop while the gateway runs, and then close what it holds."""
    background = [asyncio.create_task(load(gateway.batcher)), asyncio.create_task(metrics.watch_loop())]
    yield
    for task in background:
        task.cancel()
    await asyncio.wait(background)
    await gateway.batcher.close()
    gateway.pixels.close()


def add_routes(app: FastAPI, settings: Settings) -> None:
    """Add every route, the page and its files among them."""
    for route in (generate, card, morph, score, models, status, problems):
        app.include_router(route.router)
    app.state.page = StaticFiles(directory=PAGE)
    app.add_api_route("/", page, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/page", app.state.page)
    if settings.metrics == HERE:
        app.add_api_route("/metrics", scrape, methods=["GET", "HEAD"], include_in_schema=False)


def add_guards(app: FastAPI, gateway: Gateway, tracer: Tracer | None) -> None:
    """Put the layers around the routes that every request passes: the last one is outermost."""
    settings, life, witnesses = gateway.settings, app.state.life, app.state.witnesses
    admission = Admission(gateway, settings.deadline)
    app.add_middleware(Patience, seconds=settings.deadline)
    app.add_middleware(AdmissionGate, admission=admission)
    app.add_middleware(
        BodyGuard, limit=settings.max_body, timeout=settings.body_timeout, room=settings.max_bodies
    )
    if settings.origins:
        app.add_middleware(Origins, allowed=comma_separated(settings.origins))
    app.add_middleware(Envelope, life=life)
    app.add_middleware(Watch, witnesses=witnesses, tracer=tracer)
    app.add_middleware(Linger)
    # Traces, CORS and trusted proxies are the layers' work: then no request may be refused ahead of them.
    layers_needed = tracer or settings.origins or settings.trusted_proxies
    app.state.shedder = None if layers_needed else LoadShedder(admission, life, witnesses, settings.max_body)


def hush_libraries() -> None:
    """Keep what libraries write about uploads out of the log, whatever its level."""
    logging.getLogger("PIL").setLevel(logging.INFO)  # at DEBUG: the metadata of pictures
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # a line and a byte for each malformed body


async def page(request: Request) -> Response:
    """Return the web page, or 304 to a browser that has it already."""
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
    """Load the models before the first request; a failure is logged, and /readyz reports it too."""
    try:
        info = await models.info()
    except BackendError as error:
        logger.warning("The models are not ready: %s", error)
    except Exception:
        logger.exception("The models could not be loaded")
    else:
        logger.info("The models of version %s are ready", info.version)
