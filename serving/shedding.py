"""Load shedding on the connection itself, ahead of ASGI: a refusal costs half of what it costs behind it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import Response
from structlog.contextvars import bound_contextvars

from serving.admission import Admission
from serving.content import MAX_JSON
from serving.envelope import request_id
from serving.exchange import Exchange, Witness
from serving.life import Life
from serving.limits import length_of
from serving.refusals import Refusal, answer


@dataclass(frozen=True)
class ShedRequest:
    """A request that is refused before the application sees it."""

    exchange: Exchange
    refusal: Refusal
    request_id: str
    witnesses: Sequence[Witness]
    since: float  # by time.perf_counter

    def answer(self) -> Response:
        """Return what the client would get from the application."""
        return answer(self.refusal, self.request_id)

    def tell(self, sent: int) -> None:
        """Tell the witnesses, once so many bytes of answer are written."""
        self.exchange.sent = sent
        self.exchange.seconds = time.perf_counter() - self.since
        with bound_contextvars(request_id=self.request_id):
            for witness in self.witnesses:
                witness.began()
                witness.ended(self.exchange)


@dataclass(frozen=True)
class LoadShedder:
    """Refuses what Admission refuses, before the application sees it; the client sees no difference.

    Bodies that the application would not read to their end are left to it, and so are all requests once the
    process is about to end.
    """

    admission: Admission
    life: Life
    witnesses: Sequence[Witness]
    max_body: int  # in bytes

    def shed(self, method: bytes, target: bytes, headers: Headers, client: str) -> ShedRequest | None:
        """Refuse a request by its head; None lets it in."""
        since = time.perf_counter()
        length = length_of(headers)
        if self.life.draining or length is None or length > min(self.max_body, MAX_JSON):
            return None
        path, _, query = target.partition(b"?")
        verb, route = method.decode(), path.decode("latin-1")
        refusal = self.admission.refusal(verb, route, query, headers)
        if refusal is None:
            return None
        exchange = Exchange(verb, client, route, refusal.kind.status, received=length)
        exchange.timings.problem = refusal.kind.name
        return ShedRequest(exchange, refusal, request_id(headers), self.witnesses, since)
