"""What every route works with: the settings, the batcher before the models, and threads for pictures."""

from dataclasses import dataclass

from fastapi import Request

from serving.batcher import Batcher
from serving.pixels import Pixels
from serving.settings import Settings


@dataclass(frozen=True)
class Gateway:
    """Made once, with the application."""

    settings: Settings
    batcher: Batcher
    pixels: Pixels


def gateway_of(request: Request) -> Gateway:
    """Return the gateway whose application a request came to."""
    return request.app.state.gateway
