"""The head of a request: how large it may be, and the rules of the RFCs that no library here checks."""

import re
from collections.abc import Sequence

from httptools import HttpRequestParser
from starlette.datastructures import Headers

from serving.limits import has_body
from serving.problems import HEAD_TOO_LARGE, MALFORMED_REQUEST, UNKNOWN_CODING
from serving.refusals import Refusal

MAX_HEAD = 32 * 1024
"""Largest head of a request, in bytes: its line and its headers."""

MAX_HEADERS = 100
"""Most headers of a request."""

UPGRADE = re.compile(rb"(?i)(?<=\n)upgrade(?=[ \t]*:)")
EMPTY_PATH = re.compile(rb"^([A-Za-z]+://[^/?#]*)(?=[?#]|$)")
HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")  # RFC 9112, 3.2

TOO_LARGE = Refusal(
    HEAD_TOO_LARGE,
    f"The request line and headers may have at most {MAX_HEAD:,} bytes in {MAX_HEADERS} headers. Send fewer.",
)
NO_HOST = Refusal(MALFORMED_REQUEST, "An HTTP/1.1 request needs exactly one Host header. Use an HTTP client.")
NOT_CHUNKED = Refusal(
    UNKNOWN_CODING, "The only transfer coding supported is chunked. Send the body without another."
)
NO_UPGRADE = Refusal(MALFORMED_REQUEST, "Only HTTP/1.1 is supported. Send a body without the Upgrade header.")


def fault(parser: HttpRequestParser, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Refusal | None:
    """Return the refusal of a head that could be parsed; None if nothing is wrong with it."""
    size = len(url) + sum(len(name) + len(value) for name, value in headers)
    if size > MAX_HEAD or len(headers) > MAX_HEADERS:
        return TOO_LARGE
    hosts = [value for name, value in headers if name == b"host"]
    # RFC 9112, 3.2: a proxy could take another one for the host than this gateway does.
    lacks_one = not hosts and parser.get_http_version() == "1.1"
    if lacks_one or len(hosts) > 1 or not all(HOST.fullmatch(host.strip()) for host in hosts):
        return NO_HOST
    # httptools treats the body of a request that offers an upgrade as the other protocol's.
    if parser.should_upgrade() and has_body(Headers(raw=list(headers))):
        return NO_UPGRADE
    # RFC 9112, 6.1. httptools reads `gzip, chunked` as chunked: compressed bytes would pass for the body.
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if codings not in ([], [b"chunked"]):
        return NOT_CHUNKED
    return None


def with_path(url: bytes) -> bytes:
    """Give an address without a path the path / (RFC 9110, 4.2.3); uvicorn fails at one that has none."""
    return EMPTY_PATH.sub(rb"\1/", url)


def without_upgrade(data: bytes) -> bytes:
    """Hide an offer to upgrade from the parser: servers may ignore it.

    Java and curl offer HTTP/2 with each first request (RFC 9110, 7.8), and httptools reads no body that comes
    with an offer. A header that the network cuts in two stays, and is refused if there is a body.
    """
    if b"pgrade" not in data and b"PGRADE" not in data:
        return data
    head, end, rest = data.partition(b"\r\n\r\n")
    return UPGRADE.sub(b"x-upgrade", head) + end + rest
