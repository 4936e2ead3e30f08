"""Clients who ask without a pause while something breaks, and look at every answer.

An answer is right when it is the card of its seed, or its score, as the models give it for that card alone: a
card that was handed to somebody else is found. A refusal is honest when it is a problem by RFC 9457 with the
status that the fault deserves, and with Retry-After if that is 503. Whatever else happens is lost.
"""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from tests.benchmarks.serving.asked import Asked, Request
from tests.benchmarks.serving.connection import Answer, NoAnswer
from tests.benchmarks.serving.load import Pool

CLIENTS = 8
GIVE_UP = 30.0  # seconds; longer than any deadline here


@dataclass
class Tally:
    """What became of the requests during one fault."""

    fault: str
    sent: int = 0
    right: int = 0
    refused: Counter[int] = field(default_factory=Counter)  # honestly, by status
    gone: int = 0  # clients that left on purpose
    lost: list[str] = field(default_factory=list)  # everything else, in words
    recovery: float = 0.0  # seconds from the fault's end until CLIENTS answers in a row were right

    def __str__(self) -> str:
        refused = ", ".join(f"{count} x {status}" for status, count in sorted(self.refused.items()))
        return (
            f"{self.fault:<28} {self.sent:>6} {self.right:>6} {self.refused.total():>8} {self.gone:>6} "
            f"{len(self.lost):>6} {self.recovery:>9.1f}  {refused}"
        )


class Clients:
    """Several clients who ask without a pause, until they are told to stop."""

    def __init__(self, fault: str, address: str, asked: Asked, honest: frozenset[int] = frozenset()) -> None:
        self.tally = Tally(fault)
        self.pool = Pool(address)
        self.asked = asked
        self.honest = honest  # the statuses that are no lie about this fault
        self.stopping = False
        self.in_a_row = 0  # right answers since the last that was not

    async def work(self) -> None:
        """Ask, one request after another."""
        while not self.stopping:
            if not await self.ask(self.asked.next()):
                await asyncio.sleep(0.01)  # a client that was refused does not come again in no time

    async def ask(self, request: Request) -> bool:
        """Ask once, and put down what came of it; return whether it was right."""
        self.tally.sent += 1
        try:
            async with asyncio.timeout(GIVE_UP):
                answer = await self.pool.ask(request.bytes)
        except (NoAnswer, TimeoutError) as error:
            self.tally.lost.append(f"no answer: {error!r}")
            right = False
        else:
            right = self.put_down(request, answer)
        self.in_a_row = self.in_a_row + 1 if right else 0
        return right

    def put_down(self, request: Request, answer: Answer) -> bool:
        """Judge an answer."""
        if answer.status == 200:
            right = request.right(answer)
            self.tally.right += right
            if not right:
                self.tally.lost.append("WRONG: a card or score that is not the one asked for")
            return right
        if answer.status in self.honest and is_problem(answer):
            self.tally.refused[answer.status] += 1
        else:
            self.tally.lost.append(f"{answer.status} {dict(answer.headers)} {answer.body[:300]!r}")
        return False

    async def well_again(self, within: float) -> None:
        """Wait until as many answers in a row as there are clients were right, or the time is over."""
        began, self.in_a_row = time.monotonic(), 0
        while self.in_a_row < CLIENTS and time.monotonic() - began < within:
            await asyncio.sleep(0.02)
        self.tally.recovery = time.monotonic() - began


@contextlib.asynccontextmanager
async def working(clients: Clients) -> AsyncGenerator[None]:
    """Let the clients ask; at the end each waits for its last answer."""
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(clients.work())
        try:
            yield
        finally:
            clients.stopping = True
    clients.pool.close()


async def until_right(address: str, asked: Asked) -> None:
    """Wait until a gateway draws; nothing is counted yet."""
    async with asyncio.timeout(60):
        clients = Clients("", address, asked)
        while not await clients.ask(asked.card(0)):
            await asyncio.sleep(0.05)
        clients.pool.close()


def is_problem(answer: Answer) -> bool:
    """Whether a refusal is a problem by RFC 9457 that tells its own status, and when to come again if 503."""
    if answer.headers.get(b"content-type") != b"application/problem+json":
        return False
    problem = json.loads(answer.body)
    told = problem["status"] == answer.status and problem["title"] and problem["detail"]
    return bool(told) and (answer.status != 503 or answer.headers.get(b"retry-after", b"").isdigit())
