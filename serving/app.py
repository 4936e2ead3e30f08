"""Puts the gateway together: routes, guards, the page, and a backend for the time the server runs."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from anyio import CapacityLimiter
from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from fastapi.telemetry import TelemetryConfig

from serving import problems
from serving.backend import Backend, BackendError
from serving.envelope import Envelope
from serving.gateway import Gateway
from serving.limits import BodyGuard
from serving.openapi import Holofoil
from serving.routes import card, generate, handbook, models, morph, score, status
from serving.settings import Settings

PAGE = Path(__file__).parent / "page"

NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False}

logger = logging.getLogger(__name__)


def create_app(settings: Settings | None = None, backend: Backend | None = None) -> FastAPI:
    """Make the gateway. Without settings they come from HOLOFOIL_*, without a backend from the settings.

    The backend is closed when the application ends, also one that was given.
    """
    chosen = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        models = backend or open_backend(chosen)
        app.state.gateway = Gateway(chosen, models, CapacityLimiter(os.cpu_count() or 1))
        loading = asyncio.create_task(load(models))
        yield
        loading.cancel()
        await asyncio.wait([loading])
        await models.close()

    app = Holofoil(
        title="Holofoil",
        summary="Trading cards from a GAN, and what its discriminator thinks of yours.",
        version=version("holofoil"),
        lifespan=lifespan,
        redirect_slashes=False,  # such a redirect would lead wherever the Host header says
        docs_url=None,  # FastAPI's documentation pages load their scripts from a CDN
        redoc_url=None,
        telemetry=NO_TELEMETRY,  # on by default, and records what a client sent
    )
    problems.install(app)
    for route in (generate, card, morph, score, models, status, handbook):
        app.include_router(route.router)
    app.add_api_route("/", page, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/page", StaticFiles(directory=PAGE))
    app.add_middleware(BodyGuard, limit=chosen.max_body, timeout=chosen.body_timeout)
    app.add_middleware(Envelope)  # added last, it is outermost
    return app


async def page() -> FileResponse:
    """Return the web page."""
    return FileResponse(PAGE / "index.html")


def open_backend(settings: Settings) -> Backend:
    """Choose the backend that the settings name. TensorFlow is only ever imported for the embedded one."""
    if settings.tfserving:
        from serving.tfserving import TFServingBackend

        return TFServingBackend(settings.tfserving, settings.deadline)
    from serving.embedded import EmbeddedBackend

    return EmbeddedBackend(settings.models, settings.deadline)


async def load(backend: Backend) -> None:
    """Have the models loaded before the first request; a failure is logged, and /readyz tells it too."""
    try:
        info = await backend.info()
    except BackendError as error:
        logger.warning("The models are not ready: %s", error)
    except Exception:
        logger.exception("The models could not be loaded")
    else:
        logger.info("The models of version %s are ready", info.version)
