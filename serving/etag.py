"""Entity tags: is this the card that a client means, and does it have it already (RFC 9110, 13.1)?"""

import re

from starlette.datastructures import Headers

TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


def is_meant(headers: Headers, tag: str) -> bool:
    """Whether If-Match names a tag, quotes included, or says *, or is not there. A weak one is like none."""
    if "if-match" not in headers:
        return True
    meant = listed(headers, "if-match")
    return meant == "*" or ("", tag) in TAG.findall(meant)


def is_known(headers: Headers, tag: str) -> bool:
    """Whether If-None-Match names a tag, quotes included, or says *. Weak and strong ones compare alike."""
    known = listed(headers, "if-none-match")
    return known == "*" or any(opaque == tag for _, opaque in TAG.findall(known))


def listed(headers: Headers, name: str) -> str:
    """Return what a header of tags says, on however many lines."""
    return ", ".join(headers.getlist(name)).strip()
