"""What can break, how it is broken in real processes, and what then becomes of the clients' requests."""

import asyncio
import contextlib
import itertools
import resource
import signal
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.benchmarks.serving.asked import SEEDS, Asked
from tests.benchmarks.serving.clients import Clients, Tally, until_right, working
from tests.benchmarks.serving.connection import NoAnswer, get, post
from tests.benchmarks.serving.load import Pool
from tests.benchmarks.serving.model_server import ModelServer, gateway

IMPATIENT = 1  # seconds that clients wait for a server that hangs
DELAY = 0.1  # seconds by which the slow server is late; eight clients then wait less than HOLOFOIL_MAX_WAIT
RECOVERY = 20.0  # seconds within which all must be well again
DRAIN = 0.5  # seconds for which a gateway that was told to end goes on


@dataclass
class Stage:
    """What a fault may touch."""

    server: ModelServer
    clients: Clients
    address: str
    seconds: float


Fault = Callable[[Stage], Awaitable[None]]


async def killed(stage: Stage) -> None:
    """The model server is killed, and another one started after a while."""
    stage.server.kill()
    await asyncio.sleep(stage.seconds)
    stage.server.start()
    await stage.server.ready()


async def restarted(stage: Stage) -> None:
    """The model server is ended and started again at once."""
    await asyncio.sleep(stage.seconds / 2)
    stage.server.send(signal.SIGTERM)
    stage.server.kill()
    stage.server.start()
    await stage.server.ready()


async def hung(stage: Stage) -> None:
    """The model server stops in its tracks, connections open."""
    stage.server.send(signal.SIGSTOP)
    await asyncio.sleep(max(stage.seconds, 3 * IMPATIENT))
    stage.server.send(signal.SIGCONT)


async def slow(stage: Stage) -> None:
    """Every call takes longer, but not too long."""
    await stage.server.order(f"delay {DELAY}")
    await asyncio.sleep(max(stage.seconds, 4 * DELAY))
    await stage.server.order("well")


async def garbage(stage: Stage) -> None:
    """The model server answers with bytes that are no message."""
    await stage.server.order("garbage")
    await asyncio.sleep(stage.seconds)
    await stage.server.order("well")


async def nan(stage: Stage) -> None:
    """Every score is no number; cards stay right."""
    await stage.server.order("nan")
    await asyncio.sleep(stage.seconds)
    await stage.server.order("well")


async def gone_in_the_upload(stage: Stage) -> None:
    """Clients leave when half of their upload is sent."""
    request = stage.clients.asked.score(0).bytes
    await leave_again_and_again(stage, request[: len(request) // 2], 0)


async def gone_before_the_answer(stage: Stage) -> None:
    """Clients leave as soon as they have asked for sixteen cards."""
    await leave_again_and_again(stage, sixteen(), 0)


async def gone_in_the_answer(stage: Stage) -> None:
    """Clients leave when the first bytes of sixteen cards have come."""
    await leave_again_and_again(stage, sixteen(), 1000)


def sixteen() -> bytes:
    """Write a request for as many cards as one may ask for."""
    return post("/generate", b'{"seed": 0, "n": 16}', "application/json")


async def leave_again_and_again(stage: Stage, data: bytes, read: int) -> None:
    """Send these bytes, read so many, and reset the connection, for as long as the fault lasts."""
    host, port = stage.address.removeprefix("http://").split(":")
    until = time.monotonic() + stage.seconds
    while time.monotonic() < until:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(data)
        await writer.drain()
        if read:
            with contextlib.suppress(asyncio.IncompleteReadError):
                await reader.readexactly(read)
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        stage.clients.tally.gone += 1
        await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Case:
    """A fault, the statuses that are no lie about it, and the seconds that clients wait meanwhile."""

    break_it: Fault
    honest: frozenset[int] = frozenset()
    wait: int = 10


FAULTS = {
    "server killed": Case(killed, frozenset({503, 504})),
    "server restarted": Case(restarted, frozenset({503, 504})),
    "server hung": Case(hung, frozenset({503, 504}), IMPATIENT),
    "server slow": Case(slow),
    "server answers garbage": Case(garbage, frozenset({502, 503})),
    "server answers NaN": Case(nan, frozenset({502, 503})),
    "client gone in its upload": Case(gone_in_the_upload),
    "client gone before the answer": Case(gone_before_the_answer),
    "client gone in the answer": Case(gone_in_the_answer),
}


async def endure(
    fault: str,
    server: ModelServer,
    address: str,
    asked: Asked,
    seconds: float,
    recovery: float = RECOVERY,
) -> Tally:
    """Have clients ask before, while and after a fault; return what became of their requests."""
    case = FAULTS[fault]
    clients = Clients(fault, address, Asked(asked.expected, case.wait), case.honest)
    async with working(clients):
        await asyncio.sleep(min(1.0, seconds / 2))
        await case.break_it(Stage(server, clients, address, seconds))
        await clients.well_again(recovery)
    return clients.tally


async def ended_under_load(asked: Asked, seconds: float, **settings: str) -> Tally:
    """SIGTERM: all that was asked while the gateway called itself ready is answered, and it ends in order.

    As a load balancer does, the clients stop when /readyz no longer says yes.
    """
    with gateway(HOLOFOIL_DRAIN_DELAY=str(DRAIN), **settings) as (process, address):
        await until_right(address, asked)
        clients = Clients("SIGTERM under load", address, asked, frozenset({503}))
        async with working(clients):
            await asyncio.sleep(seconds)
            process.terminate()
            began = time.monotonic()
            while await is_ready(address):
                await asyncio.sleep(0.02)
            clients.tally.recovery = time.monotonic() - began
        code = await asyncio.to_thread(process.wait, 30)
        if code not in (0, -signal.SIGTERM):
            clients.tally.lost.append(f"the gateway ended with {code}")
        return clients.tally


async def is_ready(address: str) -> bool:
    """Ask /readyz as a balancer does, on a connection of its own."""
    pool = Pool(address)
    try:
        return (await pool.ask(get("/readyz", Connection="close"))).status == 200
    except NoAnswer:
        return False
    finally:
        pool.close()


NO_BYTE = (0, 0)
"""The limit under which no file may grow: what a full disk is to a process."""

FROM_THE_START = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, {NO_BYTE})"


async def without_a_disk(asked: Asked, seconds: float, limits: str = "", **settings: str) -> Tally:
    """A gateway that can write to no file, from the start or once it is ready, also gets large uploads."""
    with gateway(limits, **settings) as (process, address):
        await until_right(address, asked)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, NO_BYTE)
        clients = Clients("disk full", address, asked)
        async with working(clients):
            until = time.monotonic() + seconds
            for seed in itertools.cycle(range(SEEDS)):
                if time.monotonic() > until:
                    break
                await clients.ask(asked.large_score(seed))
        return clients.tally
