"""The Prefer header (RFC 7240): what a client would like if it is possible."""

import re
from collections.abc import Sequence
from itertools import islice

# Every repetition is possessive, so that no header makes them backtrack: with 32 KiB of a client's choice,
# that would hold the event loop for a minute.
TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
QUOTED = r'"(?:[^"\\]|\\.)*+"'
ENTRY = re.compile(rf"({TOKEN})(?:\s*+=\s*+({TOKEN}|{QUOTED}))?+\s*+(?:;.*)?", re.DOTALL)
MOST = 64  # entries that are read; all those of a 32 KiB header would hold the event loop for 40 ms
ENTRIES = re.compile(r'(?:"(?:[^"\\]|\\.?)*+"?|[^,"])++', re.DOTALL)  # a quote that never ends takes all


def preferences(headers: Sequence[str]) -> dict[str, str]:
    """Read every Prefer header of a request: lower-case names to values, "" where there is none.

    Of a preference that comes twice, the first counts. Unreadable entries are skipped, as the RFC demands,
    since a preference never makes a request wrong; so are those after the first MOST.
    """
    found: dict[str, str] = {}
    for entry in islice(ENTRIES.finditer(", ".join(headers)), MOST):
        if match := ENTRY.fullmatch(entry[0].strip()):
            name, value = match.groups(default="")
            found.setdefault(name.lower(), unquoted(value))
    return found


def unquoted(value: str) -> str:
    """Return what is between quotes, without backslashes; anything else as it is."""
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
