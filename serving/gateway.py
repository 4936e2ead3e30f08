"""What every route works with: the settings, the models, and threads for pixels."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from serving.batcher import Batcher
from serving.settings import Settings

Result = TypeVar("Result")


@dataclass(frozen=True)
class Gateway:
    """Made once by the application, in its lifespan."""

    settings: Settings
    backend: Batcher
    pixels: Executor
    """Threads for decoding and encoding, as many as cores: more would only crowd out the event loop."""

    async def work(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Run a function that takes its time on one of the threads for pixels.

        What a client that leaves has asked for is not begun; what runs keeps its thread until it is over.
        """
        return await asyncio.get_running_loop().run_in_executor(self.pixels, function, *arguments)


async def gateway_of(request: Request) -> Gateway:
    """Find what the application made in its lifespan."""
    return request.app.state.gateway


TheGateway = Annotated[Gateway, Depends(gateway_of)]
