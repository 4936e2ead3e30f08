"""GET /models: what the models are, for whoever wants to give them noise or name a kind."""

from dataclasses import asdict

from fastapi import APIRouter, Request

from serving.bodies import ModelCard, Models
from serving.contract import MODELS
from serving.gateway import gateway_of
from serving.openapi import WAIT, refusals, response_headers
from serving.patience import deadline_of

router = APIRouter()


@router.head("/models", include_in_schema=False)
@router.get(
    "/models",
    operation_id="models",
    summary="Describe the models",
    responses={
        200: {"headers": response_headers("Cache-Control", "Preference-Applied")},
        **refusals(502, 504),
    },
    openapi_extra={"parameters": [WAIT]},
)
async def models(request: Request) -> Models:
    """Name the generator and the discriminator, which are always published as a pair."""
    info = await gateway_of(request).batcher.info(deadline=deadline_of(request))
    return Models(data=[ModelCard(name=name, **asdict(info)) for name in MODELS])
