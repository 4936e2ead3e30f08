"""Rate limits: how many cards a key or address may ask for in a time, counted in memory or in Redis."""

import logging
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}

MOST = 65_536
"""Keys and addresses that are counted in memory; beyond that, the one that was quiet longest is forgotten."""

HAIR = 1e-6
"""Seconds by which rounding may shorten a wait, which must not end too early."""

STORE_TIMEOUT = 0.25
"""Seconds that Redis may take to answer before the gateway counts on its own."""

STORE_PAUSE = 2.0
"""Seconds before Redis is asked again after a failure, so that few requests wait for it in vain."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rate:
    """So many cards in so many seconds, all at once or spread out; never twice as many in that time."""

    cards: int
    seconds: int

    @staticmethod
    def parse(text: str) -> "Rate":
        """Read a rate such as 600/minute; raise ValueError for anything else."""
        found = re.fullmatch(r"\s*([1-9][0-9]{0,8})\s*/\s*(second|minute|hour|day)\s*", text)
        if not found:
            raise ValueError("give cards per second, minute, hour or day, such as 600/minute")
        return Rate(int(found[1]), SECONDS[found[2]])


class Holder(NamedTuple):
    """The key or address for which cards are counted."""

    kind: Literal["key", "address"]
    name: str


class Counts(NamedTuple):
    """A sliding window, approximated by two fixed ones: the current one counts in full.

    The previous one counts for the share of it that still lies within the last `seconds` of the rate. The
    order of the fields is that of the library limits.
    """

    previous: int
    previous_left: float
    """Seconds until nothing of the previous window counts."""
    current: int
    current_left: float
    """Seconds until nothing of this window counts: the rest of it, and its length once more."""


class Store(Protocol):
    """Where cards are counted."""

    async def take(self, key: str, rate: Rate, cards: int) -> tuple[bool, Counts]:
        """Count cards for a key if the rate has room for them; return whether it had, and what counts now."""
        ...


@dataclass(slots=True)
class Window:
    """What was counted since `start`, and in the window before that."""

    start: float
    current: int = 0
    previous: int = 0


class MemoryStore:
    """Counts in this process, for the MOST most recent keys and addresses.

    limits' own memory looks through all its keys at every hit (with 10,000 of them 0.9 ms, and 9.8 ms with
    its moving window), and keeps as many as there are addresses in the world.
    """

    def __init__(self, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self.clock = clock
        self.windows: OrderedDict[str, Window] = OrderedDict()

    async def take(self, key: str, rate: Rate, cards: int) -> tuple[bool, Counts]:
        """Count cards if there is room for them; return whether there was, and what counts now."""
        allowed = used(self.counts(key, rate.seconds), rate.seconds) + cards <= rate.cards
        if allowed:
            self.window(key, rate.seconds).current += cards
        return allowed, self.counts(key, rate.seconds)

    async def close(self) -> None:
        """Do nothing: there is nothing open."""

    def window(self, key: str, expiry: int) -> Window:
        """Return the window of a key as it is now, or begin one."""
        now = self.clock()
        window = self.windows.get(key)
        if window is None or now - window.start >= 2 * expiry:
            window = self.windows[key] = Window(now)
            if len(self.windows) > self.most:
                self.windows.popitem(last=False)
        elif now - window.start >= expiry:
            window.previous, window.current = window.current, 0
            window.start += expiry
        self.windows.move_to_end(key)
        return window

    def counts(self, key: str, expiry: int) -> Counts:
        """Return what counts for a key."""
        window = self.window(key, expiry)
        left = window.start + expiry - self.clock()
        return Counts(window.previous, left if window.previous else 0.0, window.current, left + expiry)


def used(counts: Counts, expiry: int) -> int:
    """Return how many cards count now."""
    return math.floor(counts.previous * counts.previous_left / expiry) + counts.current


def with_more(counts: Counts, cards: int, expiry: int) -> Counts:
    """Return what counts with some cards more, which begin a window if there is none."""
    return counts._replace(current=counts.current + cards, current_left=counts.current_left or 2.0 * expiry)


def wait(counts: Counts, rate: Rate, cards: int) -> int:
    """Return the whole seconds until there is room for `cards`, if nobody else asks."""
    room = rate.cards - cards
    if counts.current <= room:
        weight, left, spare = counts.previous, counts.previous_left, room - counts.current
        before = 0.0
    else:  # not before this window has become the one before
        weight, left, spare = counts.current, rate.seconds, room
        before = counts.current_left - rate.seconds
    # floor(weight * (left - t) / seconds) <= spare
    after = left - (spare + 1) * rate.seconds / weight if weight else 0.0
    return math.floor(before + max(after, 0.0) + HAIR) + 1


@dataclass(frozen=True)
class Standing:
    """How a holder stands after asking."""

    holder: Holder
    rate: Rate
    counts: Counts
    retry_after: int | None
    """Seconds until there is room for what was asked; None if it was granted."""

    @property
    def fields(self) -> Mapping[str, str]:
        """The headers of draft-ietf-httpapi-ratelimit-headers-11, which count cards and not requests.

        t is the seconds until there is room for what was refused, or else until nothing is used up.
        """
        left = max(0, self.rate.cards - used(self.counts, self.rate.seconds))
        again = self.retry_after or math.ceil(self.counts.current_left)
        return {
            "RateLimit-Policy": f'"{self.holder.kind}";q={self.rate.cards};w={self.rate.seconds};qu="cards"',
            "RateLimit": f'"{self.holder.kind}";r={left};t={again}',
        }


async def take(store: Store, holder: Holder, rate: Rate, cards: int) -> Standing:
    """Count cards for a holder if the rate has room for them, and return how it stands after that."""
    allowed, counts = await store.take(f"{holder.kind}/{holder.name}", rate, cards)
    return Standing(holder, rate, counts, None if allowed else wait(counts, rate, cards))


class BadStore(Exception):
    """The store cannot be used: it is no URL of a Redis, or the extra is missing; the message says which."""


class RedisStore:
    """Counts in Redis, for several gateways together; each counts on its own while Redis does not answer.

    A gateway that refused everybody because of its counters would turn a small fault into a large one. One
    that let everybody in would have no limits just when they may be needed. This holds for every failure:
    much of what is wrong with a URL is found only when a connection is made.
    """

    def __init__(self, url: str) -> None:
        """Open no connection yet. Raises BadStore without the extra `redis`, or for no URL of a Redis."""
        try:
            from limits.aio.storage import RedisStorage
            from redis.asyncio import ConnectionPool
        except ImportError:
            raise BadStore("needs the extra redis: pip install 'holofoil[redis]'") from None
        try:
            pools: Any = ConnectionPool  # its options have no types, and those of limits have no pool
            self.pool = pools.from_url(
                url.removeprefix("redis+"),  # of redis+unix, which only limits knows
                socket_timeout=STORE_TIMEOUT,
                socket_connect_timeout=STORE_TIMEOUT,
            )
            self.redis = RedisStorage(
                url,
                implementation="redispy",
                key_prefix="holofoil",
                connection_pool=self.pool,
            )
        except Exception:  # whose words would repeat the URL, and the password in it
            raise BadStore("is no URL of a Redis with host and port, such as redis://host:6379/0") from None
        self.memory = MemoryStore()
        self.paused_until = -math.inf
        self.failing = False  # when it was asked last

    async def take(self, key: str, rate: Rate, cards: int) -> tuple[bool, Counts]:
        """Count cards if there is room for them; return whether there was, and what counts now."""
        if time.monotonic() >= self.paused_until:
            try:
                # Counting comes last: after it, a failure would have the cards counted here once more.
                before = Counts(*await self.redis.get_sliding_window(key, rate.seconds))
                allowed = await self.redis.acquire_sliding_window_entry(key, rate.cards, rate.seconds, cards)
            except Exception as error:
                self.pause(error)
            else:
                self.resume()
                return allowed, with_more(before, cards, rate.seconds) if allowed else before
        return await self.memory.take(key, rate, cards)

    def pause(self, error: Exception) -> None:
        """Leave Redis alone for a moment; log only the first failure."""
        self.paused_until = time.monotonic() + STORE_PAUSE
        if not self.failing:
            logger.warning(
                "Redis fails (%s): this gateway counts alone until it answers", type(error).__name__
            )
        self.failing = True

    def resume(self) -> None:
        """Log it if Redis answers again."""
        if self.failing:
            logger.warning("Redis answers again")
        self.failing = False

    async def close(self) -> None:
        """Close the connections."""
        await self.pool.aclose()
