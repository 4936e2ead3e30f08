"""Holofoil beside others that serve the same models on this machine, asked by one client.

    python -m tests.benchmarks.serving.compare [--seconds 8] [--rates 40 160] [--rounds 1] [--only NAME ...]

Closed loops of 1, 8 and 64 requests for one card each; then open loops at fixed rates, whose latency counts
from the moment a request was meant to be sent. `raw` is TF Serving's protocol without a gateway: arrays, no
pictures, in full buckets or one card a call. CPU and memory are those of the servers, not of the client.
"""

import argparse
import functools
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import uvloop

from serving.contract import MAX_ROWS
from serving.settings import STARTER_MODELS
from tests.benchmarks.serving import contenders, processes, references
from tests.benchmarks.serving.connection import get
from tests.benchmarks.serving.contenders import CONTENDERS, FORMATS, Target, WrongCard
from tests.benchmarks.serving.environments import CannotInstall
from tests.benchmarks.serving.load import Ask, Load, Pool, closed, opened, percentile
from tests.benchmarks.serving.processes import CannotStart
from tests.benchmarks.serving.raw import Raw

CONCURRENCY = (1, 8, 64)
REFERENCES = 32
RAW, ONE_BY_ONE = "raw, full buckets", "raw, one a call"

HEAD = (
    f"{'':<20} {'format':<6} {'asked':>8} {'images/s':>9} {'p50 ms':>8} "
    f"{'p99 ms':>8} {'CPU s/1000':>11} {'MB':>6}  failed"
)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    format: str
    asked: str
    rate: float  # images a second
    p50: float  # ms
    p99: float
    cpu: float  # seconds for 1,000 images
    memory: float  # MB
    failed: str  # how many had another status than 200, or none

    def __str__(self) -> str:
        return (
            f"{self.name:<20} {self.format:<6} {self.asked:>8} {self.rate:>9.1f} {self.p50:>8.1f} "
            f"{self.p99:>8.1f} {self.cpu:>11.2f} {self.memory:>6.0f}  {self.failed}"
        )


def main() -> int:
    """Print the tables; return 1 when a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="each load lasts")
    parser.add_argument("--rates", type=float, nargs="*", default=[40.0, 160.0], help="requests a second")
    parser.add_argument("--rounds", type=int, default=1, help="the whole of it, medians at the end")
    parser.add_argument("--only", nargs="*", default=["raw", *CONTENDERS], choices=["raw", *CONTENDERS])
    parser.add_argument("--store", type=Path, default=STARTER_MODELS)
    arguments = parser.parse_args()
    rows = medians(uvloop.run(measure(arguments)))
    if arguments.rounds > 1:
        print("", f"Medians of {arguments.rounds} rounds", HEAD, *rows, sep="\n")
    return verdict(rows)


async def measure(arguments: argparse.Namespace) -> list[Row]:
    """Run one contender after another, and print each row as it comes."""
    async with contenders.stand_in(arguments.store) as (_, target):
        expected = await references.ask(target, REFERENCES)
    print(await ceiling(arguments.seconds / 2))
    print(HEAD)
    rows: list[Row] = []
    for name in arguments.only * arguments.rounds:
        try:
            if name == "raw":
                found = await measure_raw(arguments.store, arguments.seconds)
            else:
                async with CONTENDERS[name].running(arguments.store) as target:
                    await target.check(expected)
                    found = await measure_target(name, target, arguments.seconds, arguments.rates)
            rows += found
        except (CannotInstall, CannotStart, WrongCard) as error:
            print(f"{name:<20} {error}")
    return rows


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


async def measure_raw(store: Path, seconds: float) -> list[Row]:
    """Measure TF Serving's protocol in buckets as full as the images asked for allow, and one by one."""
    rows: list[Row] = []
    async with contenders.stand_in(store) as (process, target):
        raw = await Raw.to(target)
        for name, most in ((RAW, MAX_ROWS), (ONE_BY_ONE, 1)):
            for images in CONCURRENCY:
                bucket = min(images, most)
                ask = asking(raw, bucket)
                await closed(ask, images // bucket, seconds / 8)
                load_of = functools.partial(closed, ask, images // bucket, seconds)
                rows.append(await row(name, "arrays", f"{images}", load_of, [process], bucket))
        await raw.close()
    return rows


def asking(raw: Raw, rows: int) -> Ask:
    """Return how a load asks for a bucket."""

    async def ask(seed: int) -> int:
        await raw.draw(seed, rows)
        return 200

    return ask


async def measure_target(name: str, target: Target, seconds: float, rates: list[float]) -> list[Row]:
    """Measure one server in every format, closed and open."""
    rows: list[Row] = []
    for format in FORMATS:
        ask: Ask = target.asking(format)
        for concurrency in CONCURRENCY:
            await closed(ask, concurrency, seconds / 8)
            load_of = functools.partial(closed, ask, concurrency, seconds)
            rows.append(await row(name, format, f"{concurrency}", load_of, target.roots))
        for rate in rates:
            load_of = functools.partial(opened, ask, rate, seconds)
            rows.append(await row(name, format, f"{rate:g}/s", load_of, target.roots))
    return rows


async def row(
    name: str,
    format: str,
    asked: str,
    load_of: Callable[[], Awaitable[Load]],
    roots: list[psutil.Process],
    images_per_answer: int = 1,
) -> Row:
    """Put one load on, and print what came of it."""
    before = processes.cost(*roots)
    load = await load_of()
    after = processes.cost(*roots)
    load.images_per_answer = images_per_answer
    found = Row(
        name,
        format,
        asked,
        load.rate,
        percentile(load.answered, 0.5),
        percentile(load.answered, 0.99),
        1000 * (after.cpu - before.cpu) / max(1, load.images),
        after.memory,
        load.failures,
    )
    print(found, flush=True)
    return found


def medians(rows: list[Row]) -> list[Row]:
    """Return of each line the one whose rate is the median of its rounds, of two in the middle the lower."""
    rounds: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        rounds.setdefault((row.name, row.format, row.asked), []).append(row)
    return [sorted(alike, key=lambda row: row.rate)[(len(alike) - 1) // 2] for alike in rounds.values()]


def verdict(rows: list[Row]) -> int:
    """Print what Holofoil reached of its goals; return 1 if one was missed."""
    by = {(row.name, row.format, row.asked): row for row in rows}
    ours = [name for name in CONTENDERS if name.startswith("holofoil")]
    theirs = [name for name in CONTENDERS if name not in ours]
    goals: list[tuple[str, float, bool]] = []
    for format in FORMATS:
        for name in ours:
            for concurrency in map(str, CONCURRENCY):
                others = [
                    by[one, format, concurrency].rate for one in theirs if (one, format, concurrency) in by
                ]
                if (mine := by.get((name, format, concurrency))) and others:
                    ratio = mine.rate / max(others)
                    goals.append(
                        (f"{name}, {format}, {concurrency}: images/s to the best other's", ratio, ratio >= 1)
                    )
            mine, alone = by.get((name, format, "64")), by.get((name, format, "1"))
            if mine and alone and (full := by.get((RAW, "arrays", "64"))):
                single, first = by[ONE_BY_ONE, "arrays", "64"], by[ONE_BY_ONE, "arrays", "1"]
                to_full, to_single, to_first = (
                    mine.rate / full.rate,
                    mine.rate / single.rate,
                    alone.p50 / first.p50,
                )
                goals += [
                    (
                        f"{name}, {format}, 64: images/s to raw in full buckets, 0.8 or more",
                        to_full,
                        to_full >= 0.8,
                    ),
                    (
                        f"{name}, {format}, 64: images/s to raw one a call, 2 or more",
                        to_single,
                        to_single >= 2,
                    ),
                    (f"{name}, {format}, 1: p50 to raw one a call, 1.5 or less", to_first, to_first <= 1.5),
                ]
    print()
    for words, ratio, reached in goals:
        print(f"{words:<75} {ratio:6.2f}  {'reached' if reached else 'MISSED'}")
    return int(not all(reached for _, _, reached in goals))


if __name__ == "__main__":
    sys.exit(main())
