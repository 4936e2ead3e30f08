"""The gate before a route: whose request it is, whether it may, and how many cards it may still ask for."""

import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from fastapi import Depends, Request

from serving.keys import Key, Keyring, Right
from serving.problems import FORBIDDEN, RATE_LIMITED, UNAUTHENTICATED, Fault, Refusal, invalid
from serving.rates import Holder, Rates

UNKNOWN_ADDRESS = "unknown"


@dataclass(frozen=True)
class Gate:
    """Who may come in, made once by the application."""

    keys: Keyring | None
    """None lets everybody in."""
    rates: Rates

    async def admit(self, request: Request, right: Right) -> "Visit":
        """Let a request in; raise Refusal for one without a key (401) or whose key lacks the right (403).

        Without a key that is known here it counts as one card of its address: nobody tries keys at will.
        """
        address = Holder("address", network_of(request))
        if self.keys is None:
            return Visit(request, self.rates, address)
        secret = presented(request)
        key = self.keys.find(secret) if secret else None
        if key is None:
            await Visit(request, self.rates, address).take(1)
            raise unauthenticated(secret)
        request.state.key_name = key.name
        if right not in key.rights:
            raise forbidden(key, right)
        return Visit(request, self.rates, Holder("key", key.name))


@dataclass
class Visit:
    """One request that was let in, and who answers for the cards it asks for."""

    request: Request
    rates: Rates
    holder: Holder
    taken: int = 0

    @property
    def by_key(self) -> bool:
        """Whether it took a key to come in."""
        return self.holder.kind == "key"

    async def take(self, cards: int) -> None:
        """Count this request as so many cards in all.

        Raises Refusal where the rate has no room now (429), and where it never has so much (422).
        """
        more = cards - self.taken
        if more <= 0:
            return
        rate = self.rates.rates.get(self.holder.kind)
        if rate and cards > rate.cards:
            allowed = f"{rate.cards} may be asked for in {rate.seconds} s"
            detail = f"These are {cards} cards, and {allowed}. Ask for fewer."
            raise invalid(Fault(pointer="", code="beyond_rate", detail=detail))
        standing = await self.rates.take(self.holder, more)
        if standing is None:
            return
        self.request.state.headers = standing.fields
        if standing.retry_after is not None:
            raise Refusal(
                RATE_LIMITED,
                f"{standing.rate.cards} cards may be asked for in {standing.rate.seconds} s. "
                f"Ask again in {standing.retry_after} s.",
                headers={"Retry-After": str(standing.retry_after)},
            )
        self.taken = cards


def admit(right: Right, first: int = 1) -> Callable[[Request], Awaitable[Visit]]:
    """Make a dependency for a route that needs a right; it answers with the visit.

    `first` cards are counted before the body is read, whatever it holds; the route takes the rest.
    """

    async def admitted(request: Request) -> Visit:
        gate: Gate = request.app.state.gate
        visit = await gate.admit(request, right)
        await visit.take(first)
        return visit

    return admitted


MayGenerate = Annotated[Visit, Depends(admit("generate"))]
MayScore = Annotated[Visit, Depends(admit("score"))]
MayMeasure = Annotated[Visit, Depends(admit("metrics", first=0))]


def presented(request: Request) -> str | None:
    """Return the key that a request brings: Authorization: Bearer (RFC 6750, 2.1) or X-API-Key."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.headers.get("x-api-key", "").strip() or None


def network_of(request: Request) -> str:
    """Return the address to count by.

    It is the connection's, or what trusted proxies say of it: X-Forwarded-For is read by uvicorn alone.
    """
    return network(request.client.host if request.client else "")


@lru_cache(4096)
def network(host: str) -> str:
    """Return whom an address stands for: of IPv6 the first 64 bits, since a client has all that follow."""
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
        detail = "Send Authorization: Bearer KEY, or X-API-Key: KEY. Who runs this gateway gives keys out."
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
        f"This key may {may}. For {right}, ask who runs this gateway.",
        headers={"WWW-Authenticate": challenge},
    )
