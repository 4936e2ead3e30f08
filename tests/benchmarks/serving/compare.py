"""Holofoil beside others that serve the same models on this machine, asked by one client.

    python -m tests.benchmarks.serving.compare [--seconds 2] [--rounds 5] [--rates 40 160] [--only NAME ...]

All are started first. Then they take turns: closed loops of 1, 8 and 64 requests for one card each, and open
loops at fixed rates, whose latency counts from the moment a request was meant to be sent. A line of the table
is done in rounds of short turns, and ratios are those within a round, so that a machine that is slower for a
minute is slower for all. `raw` is TF Serving's protocol without a gateway: arrays, no pictures, in full
buckets or one card a call. CPU and memory are those of the servers, not of the client.
"""

import argparse
import contextlib
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import psutil
import uvloop

from serving.contract import MAX_ROWS
from serving.settings import STARTER_MODELS
from tests.benchmarks.serving import contenders, entrants, processes, references, verdict
from tests.benchmarks.serving.connection import get
from tests.benchmarks.serving.contenders import CONTENDERS, FORMATS, WrongCard
from tests.benchmarks.serving.entrants import Asked, Entrant
from tests.benchmarks.serving.environments import CannotInstall
from tests.benchmarks.serving.load import Pool, closed
from tests.benchmarks.serving.processes import CannotStart
from tests.benchmarks.serving.raw import Raw
from tests.benchmarks.serving.references import References

CONCURRENCY = (1, 8, 64)
REFERENCES = 32
RAW = "raw"

HEAD = (
    f"{'':<18} {'images/s':>8} {'least':>6} {'most':>6} {'p50 ms':>7} {'p99 ms':>7} "
    f"{'CPU s/1000':>10} {'MB':>5}  failed"
)


def main() -> int:
    """Print the tables; return 1 when a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="each turn lasts")
    parser.add_argument("--rounds", type=int, default=5, help="turns that each takes with each load")
    parser.add_argument("--rates", type=float, nargs="*", default=[40.0, 160.0], help="requests a second")
    parser.add_argument("--only", nargs="*", default=[RAW, *CONTENDERS], choices=[RAW, *CONTENDERS])
    parser.add_argument("--store", type=Path, default=STARTER_MODELS)
    arguments = parser.parse_args()
    return verdict.tell(uvloop.run(measure(arguments)), CONCURRENCY)


async def measure(arguments: argparse.Namespace) -> list[Entrant]:
    """Start all, have them take turns with one load after another, and print what came of each."""
    print(await ceiling(arguments.seconds))
    loads = [Asked(format, concurrency=number) for format in FORMATS for number in CONCURRENCY]
    loads += [Asked(format, rate=rate) for format in FORMATS for rate in arguments.rates]
    async with entered(arguments.only, arguments.store) as all_entrants:
        for asked in loads:
            taking = [one for one in all_entrants if not asked.rate or one.name in CONTENDERS]
            for number in range(arguments.rounds):
                first = number % len(taking)  # nobody always follows the same one
                for entrant in taking[first:] + taking[:first]:
                    await entrant.take(asked, arguments.seconds)
            print_table(asked, taking)
        return all_entrants


@contextlib.asynccontextmanager
async def entered(names: list[str], store: Path) -> AsyncGenerator[list[Entrant]]:
    """Start all that can be started and that draw the right cards, and say who is left out."""
    async with contextlib.AsyncExitStack() as stack:
        process, address = await stack.enter_async_context(contenders.stand_in(store))
        expected = await references.ask(address, REFERENCES)
        found: list[Entrant] = []
        if RAW in names:
            raw = await Raw.to(address)
            stack.push_async_callback(raw.close)
            found += [
                entrants.model_server(verdict.FULL_BUCKETS, raw, process, MAX_ROWS),
                entrants.model_server(verdict.ONE_A_CALL, raw, process, 1),
            ]
        for name in names:
            if name != RAW:
                with said_why(name):
                    found.append(await enter(stack, name, store, expected))
        yield found


async def enter(stack: contextlib.AsyncExitStack, name: str, store: Path, expected: References) -> Entrant:
    """Start one, for as long as the stack lasts."""
    target = await stack.enter_async_context(CONTENDERS[name].running(store))
    await target.check(expected)
    return entrants.server(name, target)


@contextlib.contextmanager
def said_why(name: str):
    """Go on without a contender that cannot take part."""
    try:
        yield
    except (CannotInstall, CannotStart, WrongCard) as error:
        print(f"{name:<18} {error}")


async def ceiling(seconds: float) -> str:
    """Say what the client can do when the server does nothing."""
    port = processes.free_port()
    command = [sys.executable, "-m", "tests.benchmarks.serving.canned", str(port)]
    with processes.running(command, {}) as process:
        await processes.until_open(port, process)
        pool, client = Pool(f"http://127.0.0.1:{port}"), psutil.Process()

        async def ask(seed: int) -> int:
            return (await pool.ask(get(f"/generate?seed={seed}"))).status

        before = sum(client.cpu_times()[:2])
        load = await closed(ask, 64, seconds)
        spent = sum(client.cpu_times()[:2]) - before
        pool.close()
    return (
        f"The client alone takes {load.rate:.0f} answers of 20 kB a second, "
        f"{1000 * spent / max(1, load.images):.2f} CPU s for 1,000."
    )


def print_table(asked: Asked, taking: list[Entrant]) -> None:
    """Print medians for one load, and between what the rates lay."""
    print(f"\n{asked} at once" if asked.concurrency else f"\n{asked}", HEAD, sep="\n")
    for entrant in taking:
        rates = [turn.rate for turn in entrant.turns[asked]]
        rate, p50, p99, cpu, memory = (
            entrant.median(asked, figure) for figure in ("rate", "p50", "p99", "cpu", "memory")
        )
        failed = "; ".join(turn.failures for turn in entrant.turns[asked] if turn.failures)
        print(
            f"{entrant.name:<18} {rate:>8.1f} {min(rates):>6.0f} {max(rates):>6.0f} {p50:>7.1f} {p99:>7.1f} "
            f"{cpu:>10.2f} {memory:>5.0f}  {failed}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
