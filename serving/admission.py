"""Admission control: without room for even one card, a request is refused before its body is read."""

import contextlib
import logging
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.backend import BackendError
from serving.content import MAX_JSON
from serving.contract import GENERATE, SCORE
from serving.gateway import Gateway
from serving.limits import length_of
from serving.logs import Throttle
from serving.patience import applied, wait_of
from serving.refusals import Refusal, answer, from_backend

MODELS: Mapping[tuple[str, str], str] = {
    ("POST", "/generate"): GENERATE.model,
    ("GET", "/generate"): GENERATE.model,
    ("POST", "/morph"): GENERATE.model,
    ("POST", "/score"): SCORE.model,
}
"""The model that a request needs, by its method and path; any other needs none."""

logger = logging.getLogger(__name__)


class Admission:
    """Refuses early what a route would refuse anyway, for a fraction of the cost.

    At twice the load that can be answered, every second request is refused, and the time this takes is lost
    to the others. Every request is judged as if it asked for one card: only its route knows how many it
    wants. One with If-None-Match may need no model at all and is never refused here.
    """

    def __init__(self, gateway: Gateway, seconds: float) -> None:
        """Take the seconds that a client waits unless it says otherwise."""
        self.gateway = gateway
        self.seconds = seconds
        self.refused = 0  # since the last line in the log
        self.throttle = Throttle()

    def refusal(self, method: str, path: str, query: bytes, headers: Headers) -> Refusal | None:
        """Return the refusal of a request for which there is no room; None for any other."""
        model = MODELS.get((method, path))
        if model is None or "if-none-match" in headers:
            return None
        wait = wait_of(headers)
        try:
            needs_thread = needs_picture_thread(method, path, query, headers)
            picture_wait = self.gateway.pixels.wait if needs_thread else 0.0
            self.gateway.batcher.refuse_if_full(model, self.seconds if wait is None else wait, picture_wait)
        except BackendError as error:
            self.count(error)
            refusal = from_backend(error)
            if wait is not None:
                refusal.headers.update([applied(wait)])
            return refusal
        return None

    def count(self, error: BackendError) -> None:
        """Count a refusal, and log how many there were now and then: a line for each would cost too much."""
        self.refused += 1
        if self.throttle.due():
            logger.warning("Requests refused: %d. %s", self.refused, error)
            self.refused = 0


class AdmissionGate:
    """Pure ASGI: lets a request in or refuses it, as Admission says."""

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self.app = app
        self.admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self.admission.refusal(scope["method"], scope["path"], scope["query_string"], headers)
        if refusal is None:
            await self.app(scope, receive, send)
            return
        scope.update(endpoint=self, path_params={})  # has the log name the path as the route
        await drain(headers, receive)
        await answer(refusal, scope["state"]["request_id"])(scope, receive, send)


def needs_picture_thread(method: str, path: str, query: bytes, headers: Headers) -> bool:
    """Whether even a single card needs a thread for pictures: to be read, or to be written as WebP."""
    if method == "GET":  # whose address alone decides
        return b"format=webp" in query
    return path == "/score" or headers.get("accept") == "image/webp"


async def drain(headers: Headers, receive: Receive) -> None:
    """Read a small body, so that the connection can be kept; a large or late one is left unread."""
    length = length_of(headers)
    if not length or length > MAX_JSON:
        return
    with contextlib.suppress(Refusal):  # of a body that comes too slowly
        while (await receive()).get("more_body"):
            pass
