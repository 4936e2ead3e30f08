"""How the process stands: serving, about to end, or broken."""

from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass
class Life:
    """One process, from its start to its end."""

    draining: bool = False
    """It will end soon. Readiness says so, and balancers send nobody any more; who still comes is served."""
    failed: bool = False
    """It cannot go on, by a fault of its own, and must end."""

    def fail(self) -> None:
        """Note that the process cannot go on."""
        self.failed = True


class LastAnswers:
    """Pure ASGI: closes each connection with its answer once the process is about to end.

    A client that keeps its connection would else find it cut while its next request is on the way.
    """

    def __init__(self, app: ASGIApp, life: Life) -> None:
        self.app = app
        self.life = life

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""

        async def send_last(message: Message) -> None:
            if self.life.draining and message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self.app(scope, receive, send_last if scope["type"] == "http" else send)
