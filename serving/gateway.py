"""What every route uses: the settings, the batcher in front of the models, and the threads for pictures."""

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
    """Return the gateway that a request came to."""
    return request.app.state.gateway
