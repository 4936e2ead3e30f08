"""What every route works with: the settings, the models, and threads for pixels."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

from fastapi import Request

from serving.batcher import Batcher
from serving.settings import Settings

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


@dataclass(frozen=True)
class Gateway:
    """Made once by the application, in its lifespan."""

    settings: Settings
    backend: Batcher
    pixels: ThreadPoolExecutor
    """Threads for decoding and encoding, as many as cores: more would only crowd out the event loop."""

    async def work(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Run a function that takes its time on one of the threads for pixels.

        What a client that leaves has asked for is not begun; what runs keeps its thread until it is over.
        """
        # anyio's to_thread costs 160 µs of CPU more, as much as two JPEGs.
        return await asyncio.get_running_loop().run_in_executor(self.pixels, function, *arguments)


def gateway_of(request: Request) -> Gateway:
    """Find what the application made in its lifespan."""
    return request.app.state.gateway
