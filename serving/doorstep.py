"""Refusals of overload on the connection itself, ahead of ASGI: for half of what they cost behind it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import Response

from serving.admission import Admission, is_short
from serving.envelope import request_id
from serving.exchange import Exchange, Witness
from serving.life import Life
from serving.problems import Refusal, answer


@dataclass(frozen=True)
class Refused:
    """A request that is turned away, once all of it has come."""

    exchange: Exchange
    refusal: Refusal
    request_id: str
    witnesses: Sequence[Witness]
    since: float  # by time.perf_counter

    def answer(self) -> Response:
        """Return what the client would get from the application; the witnesses hear of it."""
        response = answer(self.refusal, self.request_id)
        self.exchange.sent = len(response.body)
        self.exchange.seconds = time.perf_counter() - self.since
        for witness in self.witnesses:
            witness.began()
            witness.ended(self.exchange)
        return response


@dataclass(frozen=True)
class Doorstep:
    """Turns away whom Admission refuses, unseen by the application; the client sees no difference.

    Left to the application are bodies of which the most stays unread, and the last answers of a process.
    """

    admission: Admission
    life: Life
    witnesses: Sequence[Witness]

    def refused(
        self, method: bytes, target: bytes, fields: list[tuple[bytes, bytes]], client: str
    ) -> Refused | None:
        """Judge the head of a request; None lets it in."""
        since = time.perf_counter()
        headers = Headers(raw=fields)
        if self.life.draining or not is_short(headers):
            return None
        path, _, query = target.partition(b"?")
        verb, route = method.decode(), path.decode("latin-1")
        refusal = self.admission.refusal(verb, route, query, headers)
        if refusal is None:
            return None
        length = int(headers.get("content-length", "0"))
        exchange = Exchange(verb, client, route, refusal.kind.status, received=length)
        return Refused(exchange, refusal, request_id(headers), self.witnesses, since)
