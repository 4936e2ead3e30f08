"""One client's connection: how long a request's head may take, and how long its answer may stay unread.

uvicorn 0.54 limits neither: it keeps a head that never ends in memory, and a connection that never completes
a head or never reads its answer stays open. Its limit on connections refuses newcomers instead of closing
idle ones.
"""

import logging
from asyncio import TimerHandle, Transport
from collections import deque

from starlette.datastructures import Headers
from starlette.responses import Response
from structlog.contextvars import bound_contextvars
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from serving import head
from serving.connection_metrics import ConnectionMetrics
from serving.envelope import FIELDS, request_id
from serving.limits import length_of
from serving.places import Places
from serving.problems import MALFORMED_REQUEST, OVERLOADED, REQUEST_TIMEOUT
from serving.refusals import Refusal, answer
from serving.shedding import LoadShedder, ShedRequest

MOST_AHEAD = 100
"""Most pipelined requests on a connection; uvicorn queues any number."""

MALFORMED = Refusal(MALFORMED_REQUEST, "This is not a readable HTTP/1.1 request. Use an HTTP client.")
LATE = Refusal(REQUEST_TIMEOUT, "The request's headers did not arrive in time. Send them at once.")
FULL = Refusal(OVERLOADED, "Too many connections have requests under way. Try again in a moment.")
TOO_EAGER = Refusal(OVERLOADED, "Too many requests wait on this connection. Wait for an answer first.")

logger = logging.getLogger(__name__)


class BadHead(Exception):
    """Ends the parsing of a request; httptools turns it into an error of its own."""


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with limits, which connection_class sets."""

    head_timeout: float
    answer_timeout: float
    places: Places
    shedder: LoadShedder | None
    metrics: ConnectionMetrics

    @property
    def address(self) -> str:
        """The client's, or empty where the system knows none."""
        return self.client[0] if self.client else ""

    def connection_made(self, transport: Transport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self.head_timer: TimerHandle | None = None
        self.answer_timer: TimerHandle | None = None
        self.head_size = 0  # bytes of a head that is not whole yet, or since the last piece of a body
        self.in_body = False
        self.unanswered: deque[RequestResponseCycle] = deque()
        self.refusal = MALFORMED
        self.chunk = b""  # that is being parsed
        self.shed: ShedRequest | None = None  # until the chunk is parsed
        self.last_word: Refusal | None = None  # comes after the answers that are due before it
        self.metrics.opened()
        self.places.enter(self)
        self.await_head()

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a head, and see that it ends."""
        if self.last_word is not None:
            return
        if not self.in_body:
            data = head.without_upgrade(data)
        self.head_size += len(data)
        self.chunk = b"" if self.in_body else data
        super().data_received(data)
        self.chunk = b""  # up to 256 KiB, which no idle connection should hold
        if self.shed:
            self.answer_shed(self.shed)
        if self.transport.is_closing():
            return
        if self.head_size > head.MAX_HEAD:
            self.refuse(head.TOO_LARGE)
        elif not self.in_body and not self.unanswered and self.timeout_keep_alive_task is None:
            self.await_head()  # its first bytes have ended the keep-alive timeout

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one behind a body is a trailer, and no header of the request (RFC 9110, 6.5.1)."""
        if not self.in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check a head that is complete, and let its request in, shed it or refuse it."""
        self.stop_waiting()
        self.head_size = 0
        if refusal := self.fault():
            self.refusal = refusal
            raise BadHead
        self.shed = self.ask_shedder()
        if not self.shed:
            self.mend()
            super().on_headers_complete()
            self.unanswered.append(self.cycle)
        self.places.busy(self)
        self.in_body = True

    def fault(self) -> Refusal | None:
        """Return the refusal of a request whose head could be parsed; None lets it in."""
        assert self.parser
        if self.places.overfull:
            return FULL
        if len(self.unanswered) >= MOST_AHEAD:
            return TOO_EAGER
        return head.fault(self.parser, self.url, self.headers)

    def mend(self) -> None:
        """Do what the RFCs ask where uvicorn does not."""
        assert self.parser
        if self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False  # RFC 9110, 10.1.1
        self.url = head.with_path(self.url)

    def ask_shedder(self) -> ShedRequest | None:
        """Ask whether to shed a request, if it came whole and alone and the connection stays open.

        To shed any other, one would have to wait for the rest of it, and know when not to.
        """
        assert self.parser
        headers = Headers(raw=self.headers)
        if not self.shedder or self.unanswered or self.flow.write_paused or not self.whole(headers):
            return None
        if self.parser.get_http_version() != "1.1" or not self.parser.should_keep_alive():
            return None
        try:
            return self.shedder.shed(self.parser.get_method(), self.url, headers, self.address)
        except Exception:  # the parser would take it for the client's fault
            logger.exception("Shedding load failed")
            return None

    def whole(self, headers: Headers) -> bool:
        """Whether a request fills the chunk that is being parsed, from its first byte to its last."""
        assert self.parser
        start, _, body = self.chunk.partition(b"\r\n\r\n")
        return start.startswith(self.parser.get_method()) and len(body) == length_of(headers)

    def on_body(self, body: bytes) -> None:
        """Pass on what is for the application; what chunks have beside it may be no larger than a head."""
        self.head_size = 0
        if not self.shed:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Expect the next head, of which a part may have come already."""
        self.in_body = False
        self.head_size = 0
        if not self.shed:
            super().on_message_complete()

    def await_head(self) -> None:
        """Start the time limit of a head, unless it is running."""
        if self.head_timer is None:
            self.head_timer = self.loop.call_later(self.head_timeout, self.head_is_late)

    def stop_waiting(self) -> None:
        """Stop the time limit of a head."""
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None

    def head_is_late(self) -> None:
        """Hang up, with an answer if the client has sent anything."""
        if self.head_size:
            self.refuse(LATE)
        else:
            self.metrics.cut("silent")
            self.transport.close()

    def answer_shed(self, request: ShedRequest) -> None:
        """Answer a request that was shed, and keep the connection."""
        self.shed = None
        response = request.answer()
        self.write(response, request.request_id)
        super().on_response_complete()
        self.rest()
        request.tell(len(response.body))

    def send_400_response(self, msg: str) -> None:
        """Answer a request that cannot be parsed with a problem; uvicorn would answer in plain text."""
        self.refuse(self.refusal)

    def refuse(self, refusal: Refusal) -> None:
        """Answer with a problem and hang up, once all earlier requests have their answers."""
        if self.in_body and len(self.unanswered) > 1:  # the one that broke off waits for its turn
            self.unanswered.remove(self.cycle)
            self.pipeline.popleft()
            self.in_body = False
        if self.unanswered and not self.in_body:
            self.last_word = refusal
        elif self.in_body and self.cycle.response_started:
            self.transport.close()
        else:
            self.hang_up(refusal)

    def hang_up(self, refusal: Refusal) -> None:
        """Write a problem as the last answer."""
        self.metrics.cut(refusal.kind.name)
        name = request_id(Headers(raw=self.headers or []))
        with bound_contextvars(request_id=name):
            told = {"problem": refusal.kind.name, "status": refusal.kind.status, "client": self.address}
            logger.info("refused", extra=told)
        response = answer(refusal, name)
        response.headers["Connection"] = "close"
        self.write(response, name)
        self.leave()

    def write(self, response: Response, name: str) -> None:
        """Write a whole answer, with the headers of every answer, to the request of this id."""
        always = (*self.server_state.default_headers, *FIELDS, (b"x-request-id", name.encode()))
        headers = (*always, *response.raw_headers)
        lines = [name + b": " + value + b"\r\n" for name, value in headers]
        self.transport.write(
            b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", bytes(response.body)])
        )

    def on_response_complete(self) -> None:
        """If the connection closes after this answer, limit the time to read it."""
        self.unanswered.popleft()
        super().on_response_complete()
        if self.last_word and not self.unanswered and not self.transport.is_closing():
            self.hang_up(self.last_word)
        self.rest()
        if self.transport.is_closing():
            self.await_reader()

    def rest(self) -> None:
        """Count as idle unless a request is under way or an answer waits to be read."""
        if not self.unanswered and not self.flow.write_paused:
            self.places.rest(self)

    def make_room(self) -> None:
        """Close this idle connection, so that another one can come."""
        self.metrics.cut("crowded")
        self.leave()

    def leave(self) -> None:
        """Close once the client has read what was written, or its time for that is over."""
        self.transport.close()
        self.await_reader()

    def timeout_keep_alive_handler(self) -> None:
        """Hang up on an idle client, without waiting for it to read."""
        self.transport.abort()

    def pause_writing(self) -> None:
        """Start the time limit for reading: more is written than the client takes."""
        super().pause_writing()
        self.await_reader()

    def resume_writing(self) -> None:
        """Note that the client has read."""
        super().resume_writing()
        self.stop_awaiting_reader()
        self.rest()

    def await_reader(self) -> None:
        """Start the time limit for reading, unless it is running."""
        if self.answer_timer is None:
            self.answer_timer = self.loop.call_later(self.answer_timeout, self.answer_is_unread)

    def answer_is_unread(self) -> None:
        """Abort the connection of a client that does not read."""
        self.metrics.cut("unread")
        self.transport.abort()

    def stop_awaiting_reader(self) -> None:
        """Stop the time limit for reading, unless the connection is closing."""
        if self.answer_timer is not None and not self.transport.is_closing():
            self.answer_timer.cancel()
            self.answer_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers, and tell all requests; uvicorn tells only the last of pipelined ones."""
        self.metrics.closed()
        self.places.gone(self)
        self.stop_waiting()
        if self.answer_timer is not None:
            self.answer_timer.cancel()
        for cycle in self.unanswered:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)


def connection_class(
    head_timeout: float,
    answer_timeout: float,
    most: int,
    shedder: LoadShedder | None,
    metrics: ConnectionMetrics,
) -> type[Connection]:
    """Return the class of uvicorn's connections: at most `most`, with time limits in seconds."""
    bounds = {
        "head_timeout": head_timeout,
        "answer_timeout": answer_timeout,
        "places": Places(most),
        "shedder": shedder,
        "metrics": metrics,
    }
    return type(Connection.__name__, (Connection,), bounds)
