"""Access control before a route: whose request it is, whether it may, and for how many cards."""

import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from fastapi import Depends, Request

from serving.bodies import Fault
from serving.keys import Key, Keyring, Right
from serving.problems import FORBIDDEN, RATE_LIMITED, UNAUTHENTICATED
from serving.rates import Holder, Rate, Store, take
from serving.refusals import Refusal, invalid

UNKNOWN_ADDRESS = "unknown"


@dataclass(frozen=True)
class AccessControl:
    """Who may do what, and how much of it; made once by the application."""

    keys: Keyring | None
    """None lets everybody in."""
    rates: Mapping[str, Rate | None]
    """By the kind of holder, key or address; None counts nothing."""
    store: Store

    async def authorize(self, request: Request, right: Right) -> "Caller":
        """Return who asks; raise Refusal without a known key (401), or if the key lacks the right (403).

        A request without a known key costs its address one card, so that nobody can try keys at will.
        """
        address = Holder("address", network_of(request))
        if self.keys is None:
            return self.caller(request, address)
        secret = presented(request)
        key = self.keys.find(secret) if secret else None
        if key is None:
            await self.caller(request, address).take(1)
            raise unauthenticated(secret)
        request.state.key_name = key.name
        if right not in key.rights:
            raise forbidden(key, right)
        return self.caller(request, Holder("key", key.name))

    def caller(self, request: Request, holder: Holder) -> "Caller":
        """Return the caller whose cards are counted for this holder."""
        return Caller(request, holder, self.rates[holder.kind], self.store)


@dataclass
class Caller:
    """Who sent a request: the key or address for which its cards are counted."""

    request: Request
    holder: Holder
    rate: Rate | None
    store: Store
    taken: int = 0

    @property
    def by_key(self) -> bool:
        """Whether a key was needed."""
        return self.holder.kind == "key"

    async def take(self, cards: int) -> None:
        """Count this request as so many cards in all.

        Raises Refusal if the rate has no room for them now (429), or never has (422).
        """
        rate = self.rate
        if rate is None or cards <= self.taken:
            return
        if cards > rate.cards:
            allowed = f"{rate.cards} may be asked for in {rate.seconds} s"
            detail = f"These are {cards} cards, and {allowed}. Ask for fewer."
            raise invalid(Fault(pointer="", code="beyond_rate", detail=detail))
        standing = await take(self.store, self.holder, rate, cards - self.taken)
        self.request.state.headers = standing.fields
        if standing.retry_after is not None:
            raise Refusal(
                RATE_LIMITED,
                f"{rate.cards} cards may be asked for in {rate.seconds} s. "
                f"Ask again in {standing.retry_after} s.",
                headers={"Retry-After": str(standing.retry_after)},
            )
        self.taken = cards


def requires(right: Right, first: int = 1) -> Callable[[Request], Awaitable[Caller]]:
    """Make the dependency of a route that needs a right; it tells the route who asks.

    first: cards that are counted before the body is read, whatever it holds; the route takes the rest.
    """

    async def authorized(request: Request) -> Caller:
        access: AccessControl = request.app.state.access
        caller = await access.authorize(request, right)
        await caller.take(first)
        return caller

    return authorized


MayGenerate = Annotated[Caller, Depends(requires("generate"))]
MayScore = Annotated[Caller, Depends(requires("score"))]
MayMeasure = Annotated[Caller, Depends(requires("metrics", first=0))]


def presented(request: Request) -> str | None:
    """Return the key that a request brings: Authorization: Bearer (RFC 6750, 2.1) or X-API-Key."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.headers.get("x-api-key", "").strip() or None


def network_of(request: Request) -> str:
    """Return the address by which a request without a key is counted.

    It is the connection's, or what trusted proxies say of it: X-Forwarded-For is read by uvicorn alone.
    """
    return network(request.client.host if request.client else "")


@lru_cache(4096)
def network(host: str) -> str:
    """Return the address to count by: of IPv6 the first 64 bits, since a client has all that begin so."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return UNKNOWN_ADDRESS
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(address) >> 64 << 64))


def unauthenticated(secret: str | None) -> Refusal:
    """Refuse a request without a key that is known here (RFC 6750, 3)."""
    if secret is None:
        detail = "Send Authorization: Bearer KEY, or X-API-Key: KEY. Whoever runs the gateway gives out keys."
        challenge = 'Bearer realm="holofoil"'
    else:
        detail = "This key is not known here, or no longer. Ask who runs this gateway for another."
        challenge = 'Bearer realm="holofoil", error="invalid_token"'
    return Refusal(UNAUTHENTICATED, detail, headers={"WWW-Authenticate": challenge})


def forbidden(key: Key, right: Right) -> Refusal:
    """Refuse a key without the right."""
    may = ", ".join(sorted(key.rights))
    challenge = f'Bearer realm="holofoil", error="insufficient_scope", scope="{right}"'
    return Refusal(
        FORBIDDEN,
        f"This key may {may}. Ask whoever runs this gateway for a key with the right {right}.",
        headers={"WWW-Authenticate": challenge},
    )
