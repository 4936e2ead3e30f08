"""What every route works with: the settings, the models, and threads for pixels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request

from serving.batcher import Batcher
from serving.settings import Settings

Result = TypeVar("Result")


@dataclass(frozen=True)
class Gateway:
    """Made once by the application, in its lifespan."""

    settings: Settings
    backend: Batcher
    pixels: CapacityLimiter
    """Threads for decoding and encoding, as many as cores: more would only crowd out the event loop."""

    async def work(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Run a function that takes its time on one of the threads for pixels."""
        return await to_thread.run_sync(function, *arguments, limiter=self.pixels)


async def gateway_of(request: Request) -> Gateway:
    """Find what the application made in its lifespan."""
    return request.app.state.gateway


TheGateway = Annotated[Gateway, Depends(gateway_of)]
