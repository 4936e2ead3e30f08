"""GET /healthz and GET /readyz: does the process live, do the models answer?"""

import asyncio
from dataclasses import asdict

from fastapi import APIRouter, Request

from serving import problems
from serving.backend import BackendError, NotReady
from serving.bodies import Health, Readiness
from serving.gateway import gateway_of
from serving.openapi import refusals, response_headers
from serving.refusals import Refusal, from_backend

READY_SECONDS = 3.0
"""Time limit of /readyz for models that are still loading."""

router = APIRouter()


@router.head("/healthz", include_in_schema=False)
@router.get(
    "/healthz",
    operation_id="health",
    summary="Is the process alive?",
    responses={200: {"headers": response_headers("Cache-Control")}, **refusals()},
)
async def healthz() -> Health:
    """Answer as long as the event loop turns, whatever the models do."""
    return Health()


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    operation_id="readiness",
    summary="Do the models answer?",
    responses={200: {"headers": response_headers("Cache-Control")}, **refusals()},
)
async def readyz(request: Request) -> Readiness:
    """Describe the models, or answer 503 with the reason why there are none, or that the gateway will end."""
    if request.app.state.life.draining:
        raise Refusal(problems.DRAINING, "The gateway is shutting down. Send requests to another one.")
    try:
        async with asyncio.timeout(READY_SECONDS):
            info = await gateway_of(request).batcher.info()
    except TimeoutError:
        raise NotReady("The models are still loading. Ask again in a moment.") from None
    except BackendError as error:
        kind = from_backend(error).kind
        raise Refusal(kind if kind.status == 503 else problems.NOT_READY, str(error)) from None
    return Readiness(**asdict(info))
