"""If-Match and If-None-Match: does the client mean this card, or have it already (RFC 9110, 13.1)?"""

import re

from starlette.datastructures import Headers

TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


def is_meant(headers: Headers, tag: str) -> bool:
    """Whether If-Match names a tag (with quotes), is *, or is absent. Weak tags never match."""
    if "if-match" not in headers:
        return True
    meant = listed(headers, "if-match")
    return meant == "*" or ("", tag) in TAG.findall(meant)


def is_known(headers: Headers, tag: str) -> bool:
    """Whether If-None-Match names a tag (with quotes), or is *. Weak tags match too."""
    known = listed(headers, "if-none-match")
    return known == "*" or any(opaque == tag for _, opaque in TAG.findall(known))


def listed(headers: Headers, name: str) -> str:
    """Return a header's tags, joined if they come on several lines."""
    return ", ".join(headers.getlist(name)).strip()
