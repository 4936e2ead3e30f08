"""Twice the load that Holofoil can bear: what it still does, and how soon all is well again.

    python -m tests.benchmarks.serving.overload [--seconds 120] [--ask png] [--only NAME ...]

What is asked for is a card as PNG, JPEG or WebP, or the score of a scan (1000x1400) or a photo (3000x4000).
First the peak is measured by a closed loop, then an easy load of half of it. Twice the peak follows, in an
open loop (`--times` to change it), then at once the easy load again. Any contender of `compare` may be named.
A closed loop asks in bursts, as answers come in bursts; requests that come one by one cost more each, refused
or not. So what an open loop gets that is just too fast is told too.
The servers have one half of the machine's cores and the client the other: what it takes to ask twice as
often, and to be refused, would else be taken from what is measured.
"""

import argparse
import asyncio
import itertools
import math
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import uvloop

from serving.settings import STARTER_MODELS
from tests.benchmarks.serving import processes
from tests.benchmarks.serving.connection import post
from tests.benchmarks.serving.contenders import CONTENDERS, Target
from tests.benchmarks.serving.load import Ask, Load, Outcome, closed, opened, percentile
from tests.fakes import pictures

EASY = 0.5  # of the peak
FULL = 1.2  # of the peak
NORMAL = 1.5  # times the easy load's p50 is normal again
WINDOW = 0.5  # seconds whose p50 is looked at
GOODPUT, REJECTION_MS, GROWTH, RECOVERY_S = 0.95, 10.0, 1.1, 2.0
UPLOADS = {"scan": (1400, 1000), "photo": (4000, 3000)}
"""Height and width of pictures to score."""
PEAK_CONCURRENCY = {"scan": 8, "photo": 4}
"""At which the peak is reached and nobody is refused; 64 of all others."""


@dataclass
class Memory:
    """Megabytes held, once a second."""

    roots: list[psutil.Process]
    seen: list[float] = field(default_factory=list)

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            self.seen.append(processes.cost(*self.roots).memory)
            await asyncio.sleep(1)

    @property
    def growth(self) -> float:
        """The last fifth's mean by that of the second fifth: the first fills the queue."""
        fifth = max(1, len(self.seen) // 5)
        return mean(self.seen[-fifth:]) / mean(self.seen[fifth : 2 * fifth] or self.seen[:1])


def mean(values: list[float]) -> float:
    """Return the mean."""
    return sum(values) / len(values)


def main() -> int:
    """Print what happened; return 1 when a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="the overload lasts")
    parser.add_argument("--times", type=float, default=2.0, help="the peak")
    parser.add_argument("--ask", default="png", choices=["png", "jpeg", "webp", *UPLOADS])
    parser.add_argument("--only", nargs="*", choices=list(CONTENDERS))
    parser.add_argument("--store", type=Path, default=STARTER_MODELS)
    arguments = parser.parse_args()
    names = arguments.only or [name for name in CONTENDERS if name.startswith("holofoil")]
    reached = [uvloop.run(overload(name, arguments)) for name in names]
    return int(not all(reached))


async def overload(name: str, arguments: argparse.Namespace) -> bool:
    """Put a contender through it; return whether every goal was reached."""
    cores = sorted(os.sched_getaffinity(0))
    half = len(cores) // 2
    os.sched_setaffinity(0, cores[half:])  # what is started inherits it
    async with CONTENDERS[name].running(arguments.store) as target:
        os.sched_setaffinity(0, cores[:half] or cores)
        try:
            return await put_through(name, asking(target, arguments.ask), target.roots, arguments)
        finally:
            os.sched_setaffinity(0, cores)


def asking(target: Target, what: str) -> Ask:
    """Return how to ask a contender for what is to be asked for."""
    if what not in UPLOADS:
        return target.asking(what)
    picture = pictures.file(pictures.photograph(*UPLOADS[what]), "JPEG", quality=88)
    request = post("/score", picture, "image/jpeg")

    async def ask(seed: int) -> int:
        return (await target.pool.ask(request)).status

    return ask


async def put_through(
    name: str, ask: Ask, roots: list[psutil.Process], arguments: argparse.Namespace
) -> bool:
    """Measure the peak, the easy load, the overload, the easy load again; print all of it."""
    seconds, times = arguments.seconds, arguments.times
    concurrency = PEAK_CONCURRENCY.get(arguments.ask, 64)
    await closed(ask, concurrency, 2)
    peak = (await closed(ask, concurrency, max(5.0, seconds / 8))).rate
    full = (await opened(ask, FULL * peak, max(5.0, seconds / 8))).rate
    easy = await opened(ask, EASY * peak, max(5.0, seconds / 8))
    memory = Memory(roots)
    watching = asyncio.create_task(memory.watch())
    before = processes.cost(*roots)
    during = asyncio.create_task(opened(ask, times * peak, seconds))
    await asyncio.sleep(seconds)
    cores = (processes.cost(*roots).cpu - before.cpu) / seconds
    # The easy load begins while the last of the overload is still waiting, as it would in life.
    after = await opened(ask, EASY * peak, max(5.0, seconds / 8))
    load = await during
    watching.cancel()
    asked = f"peak {peak:.0f} images/s, asked {times:g} times that for {seconds:g} s"
    print(f"\n{name}, {arguments.ask}: {asked}")
    tell("easy", easy)
    tell("overload", load)
    tell("easy again", after)
    shown = [f"{memory.seen[len(memory.seen) * tenth // 10]:.0f}" for tenth in range(10)]
    print(f"  the servers had {cores:.2f} cores meanwhile")
    print(f"  MB, from tenth to tenth: {' '.join(shown)}; at last {memory.seen[-1]:.0f}")
    print(f"  goodput to that of {FULL:g} times the peak in an open loop, {full:.0f}: {load.rate / full:.2f}")
    goodput = load.rate / peak
    rejection = percentile(load.rejected, 0.5)
    recovery = until_normal(after, NORMAL * percentile(easy.answered, 0.5))
    goals = [
        (f"goodput to peak, {GOODPUT} or more", goodput, goodput >= GOODPUT),
        (f"median ms of a rejection, under {REJECTION_MS:g}", rejection, rejection < REJECTION_MS),
        (f"growth of memory, {GROWTH} at most", memory.growth, memory.growth <= GROWTH),
        (f"seconds until p50 is normal, {RECOVERY_S:g} at most", recovery, recovery <= RECOVERY_S),
        ("without an answer, 0", load.statuses[0], load.statuses[0] == 0),
    ]
    for words, value, reached in goals:
        print(f"  {words:<45} {value:8.2f}  {'reached' if reached else 'MISSED'}")
    return all(reached for _, _, reached in goals)


def tell(name: str, load: Load) -> None:
    """Print one load."""
    p50, p99 = percentile(load.answered, 0.5), percentile(load.answered, 0.99)
    print(f"  {name:<10} {load.rate:7.1f} images/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms; {load.failures}")


def until_normal(load: Load, normal_ms: float) -> float:
    """Return the seconds after which the p50 of two windows in a row, by the moments of asking, was normal.

    Of all windows to the end would measure the machine's next hiccup.
    """
    windows: dict[int, list[Outcome]] = {}
    for outcome in load.outcomes:
        windows.setdefault(int(outcome.due / WINDOW), []).append(outcome)
    normal = [
        percentile([one for one in windows.get(window, []) if one.status == 200], 0.5) <= normal_ms
        for window in range(max(windows, default=0) + 1)
    ]
    recovered = (window for window, pair in enumerate(itertools.pairwise(normal)) if all(pair))
    return WINDOW * next(recovered, math.inf)


if __name__ == "__main__":
    sys.exit(main())
