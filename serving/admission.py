"""Where there is no room for a single card, a request is refused before anything is read of it."""

import contextlib
import logging
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.backend import BackendError
from serving.content import MAX_JSON
from serving.contract import GENERATE, SCORE
from serving.gateway import Gateway
from serving.limits import has_body
from serving.logs import Seldom
from serving.patience import applied, wait_of
from serving.problems import Refusal, answer, from_backend

WORK: Mapping[tuple[str, str], str] = {
    ("POST", "/generate"): GENERATE.model,
    ("GET", "/generate"): GENERATE.model,
    ("POST", "/morph"): GENERATE.model,
    ("POST", "/score"): SCORE.model,
}
"""The model that each address needs."""

logger = logging.getLogger(__name__)


class Admission:
    """Pure ASGI: refuses what its route would refuse too, for a sixth of what that costs.

    Twice as many requests as can be answered come with as many refusals, and what those cost is taken from
    the others. Whoever asks for more than one card is let in by its route, which knows how many they are. A
    card that the client may have already, by If-None-Match, needs no model and is never refused here.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        """Take the seconds that a client waits which does not say how many."""
        self.app = app
        self.seconds = seconds
        self.refused = 0  # since the log told of them
        self.telling = Seldom()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request, or refuse it."""
        model = WORK.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        headers = Headers(scope=scope) if model else Headers()
        if model is None or "if-none-match" in headers:
            await self.app(scope, receive, send)
            return
        wait = wait_of(headers)
        gateway: Gateway = scope["app"].state.gateway
        try:
            beside = gateway.pixels.wait if works_on_pixels(scope, headers) else 0.0
            gateway.backend.refuse_if_full(model, self.seconds if wait is None else wait, beside)
        except BackendError as error:
            self.tell(error)
            scope.update(endpoint=self, path_params={})  # the path is the route's template
            await take_in(headers, receive)
            refused = answer(from_backend(error), scope["state"]["request_id"])
            if wait is not None:
                refused.headers.append(*applied(wait))
            await refused(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def tell(self, error: BackendError) -> None:
        """Count a refusal, and log now and then how many there were: each for itself would cost more."""
        self.refused += 1
        if self.telling.due():
            logger.warning("Requests refused: %d. %s", self.refused, error)
            self.refused = 0


def works_on_pixels(scope: Scope, headers: Headers) -> bool:
    """Whether one card takes a thread, to be read or written as WebP; what else does, its route knows."""
    if scope["method"] == "GET":  # whose address alone decides
        return b"format=webp" in scope["query_string"]
    return scope["path"] == "/score" or headers.get("accept") == "image/webp"


async def take_in(headers: Headers, receive: Receive) -> None:
    """Read a small body, so that the connection can be kept; of a larger or a late one the rest is left."""
    length = headers.get("content-length", "")
    if not has_body(headers) or not length.isdecimal() or int(length) > MAX_JSON:
        return
    with contextlib.suppress(Refusal):  # of a body that comes too slowly
        while (await receive()).get("more_body"):
            pass
