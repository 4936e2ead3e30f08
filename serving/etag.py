"""Entity tags: does a client already have what it asks for (RFC 9110, 13.1.2)?"""

import re

from starlette.datastructures import Headers

OPAQUE_TAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')


def is_known(headers: Headers, tag: str) -> bool:
    """Whether If-None-Match names a tag, quotes included, or says *. Weak and strong ones compare alike."""
    known = ", ".join(headers.getlist("if-none-match"))
    return known.strip() == "*" or tag in OPAQUE_TAG.findall(known)
