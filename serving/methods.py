"""The methods of an address: what OPTIONS, and the refusal of any other method, name as Allow."""

from fastapi import Request
from starlette.routing import Match, Mount

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def allowed(request: Request) -> str:
    """Return the methods that an address takes; Starlette names only those of one of its routes."""
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    found = [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    return ", ".join(found) or "GET, HEAD"  # of a mount's files


def asks_of_all(request: Request) -> bool:
    """Whether this is OPTIONS *, which asks whether a server is there, and has no route (RFC 9110, 9.3.7)."""
    return request.method == "OPTIONS" and request.scope["path"] == "*"
