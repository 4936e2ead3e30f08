"""Deadlines that clients choose, and work that ends when they leave."""

import asyncio

import pytest
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Message

from serving.patience import LONGEST, Patience, deadline_of, wait_of
from tests.fakes.simulated import simulate

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
LEFT: Message = {"type": "http.disconnect"}


def body(data: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


class Connection:
    """One request as a server gives it to an application: messages at their times, and what was answered."""

    def __init__(self, *messages: tuple[float, Message], headers: dict[str, str] | None = None) -> None:
        self.messages = list(messages)
        self.answered: list[Message] = []
        raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        self.scope = {"type": "http", "headers": raw}
        self.complete = asyncio.Event()

    async def receive(self) -> Message:
        if not self.messages:
            await self.complete.wait()  # as servers do: once all is answered, the client counts as gone
            return LEFT
        at, _ = self.messages[0]
        await asyncio.sleep(max(0, at - asyncio.get_running_loop().time()))
        return self.messages.pop(0)[1]

    async def send(self, message: Message) -> None:
        self.answered.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.complete.set()
            await asyncio.sleep(0)


async def answer(send) -> None:
    await send(dict(START, headers=[]))
    await send({"type": "http.response.body", "body": b"card"})


def start_of(*messages: tuple[float, Message]) -> list[tuple[float, Message]]:
    now = asyncio.get_running_loop().time()
    return [(now + at, message) for at, message in messages]


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("wait=5", 5),
        ('handling=lenient, Wait="7"; x=1', 7),
        ("wait=3, wait=9", 3),
        ("wait=100000000000000000000", LONGEST),
        ("wait=0", 0),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=٣", None),
        ("wait", None),
        ("handling=lenient", None),
    ],
)
def test_a_client_says_how_long_it_waits(header, wait):
    assert wait_of(Headers(raw=[(b"prefer", header.encode())])) == wait


@pytest.mark.parametrize(("headers", "seconds"), [({}, 10), ({"prefer": "wait=2"}, 2)])
def test_the_deadline_counts_from_when_the_request_is_read_and_a_wish_is_confirmed(headers, seconds):
    async def story():
        connection = Connection(headers=headers)

        async def app(scope, receive, send):
            await asyncio.sleep(5)  # for a body to come
            now = asyncio.get_running_loop().time()
            assert deadline_of(Request(scope)) == now + seconds
            await answer(send)

        await Patience(app, 10)(connection.scope, connection.receive, connection.send)
        confirmed = [(b"preference-applied", b"wait=2")] if headers else []
        assert connection.answered[0]["headers"] == confirmed

    simulate(story())


def test_work_ends_when_the_client_leaves():
    async def story():
        ends: list[str] = []

        async def app(scope, receive, send):
            try:
                await asyncio.sleep(100)
            finally:
                ends.append("ended")

        loop = asyncio.get_running_loop()
        began = loop.time()
        connection = Connection(*start_of((0, body()), (3, LEFT)))
        await Patience(app, 10)(connection.scope, connection.receive, connection.send)
        assert (ends, loop.time() - began, connection.answered) == (["ended"], 3, [])
        await asyncio.sleep(1)  # nothing of the cancellation is left in this task

    simulate(story())


def test_a_body_arrives_whole_before_leaving_is_listened_for():
    async def story():
        messages = start_of((1, body(b"ab", more=True)), (2, body(b"c")), (3, LEFT))
        connection = Connection(*messages, headers={"content-length": "3"})
        received: list[Message] = []

        async def app(scope, receive, send):
            received.extend([await receive(), await receive()])
            await asyncio.sleep(100)

        await Patience(app, 10)(connection.scope, connection.receive, connection.send)
        assert [message["body"] for message in received] == [b"ab", b"c"]

    simulate(story())


def test_a_client_that_leaves_with_half_its_body_sent_is_the_applications_to_notice():
    async def story():
        messages = start_of((1, body(b"a", more=True)), (2, LEFT))
        connection = Connection(*messages, headers={"content-length": "3"})
        received: list[Message] = []

        async def app(scope, receive, send):
            received.extend([await receive(), await receive()])
            await asyncio.sleep(5)
            received.append({"type": "done"})

        await Patience(app, 10)(connection.scope, connection.receive, connection.send)
        assert [message["type"] for message in received] == ["http.request", "http.disconnect", "done"]

    simulate(story())


def test_an_empty_body_can_be_read_and_after_it_only_leaving():
    async def story():
        connection = Connection(*start_of((0, body()), (3, LEFT)))
        received: list[Message] = []

        async def app(scope, receive, send):
            received.append(await receive())
            await receive()

        await Patience(app, 10)(connection.scope, connection.receive, connection.send)
        assert received == [body()]

    simulate(story())


def test_work_ends_when_the_client_leaves_in_the_middle_of_its_answer():
    async def story():
        loop = asyncio.get_running_loop()
        connection = Connection(*start_of((0, body()), (3, LEFT)))

        async def app(scope, receive, send):
            await send(dict(START, headers=[]))
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            await asyncio.sleep(100)

        began = loop.time()
        await Patience(app, 10)(connection.scope, connection.receive, connection.send)
        assert loop.time() - began == 3
        assert len(connection.answered) == 2

    simulate(story())


def test_what_is_done_after_a_complete_answer_is_not_cut():
    async def story():
        ends: list[str] = []
        connection = Connection(*start_of((0, body())))

        async def app(scope, receive, send):
            await answer(send)
            await asyncio.sleep(1)
            ends.append("ended")

        await Patience(app, 10)(connection.scope, connection.receive, connection.send)
        assert ends == ["ended"]

    simulate(story())


def test_an_end_from_outside_goes_on_outward():
    async def story():
        async def app(scope, receive, send):
            await asyncio.sleep(100)

        connection = Connection(*start_of((0, body())))
        patience = Patience(app, 10)
        serving = asyncio.create_task(patience(connection.scope, connection.receive, connection.send))
        await asyncio.sleep(1)
        serving.cancel()
        await asyncio.wait([serving])
        assert serving.cancelled()

    simulate(story())
