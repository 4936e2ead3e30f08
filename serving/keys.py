"""API keys: who may do what. The file of keys holds their hashes, never a key itself."""

import hashlib
import hmac
import logging
import os
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Right = Literal["generate", "score", "metrics"]
RIGHTS: tuple[Right, ...] = get_args(Right)

PREFIX = "holo_"
"""The beginning of every key that is made here, by which scanners for leaked secrets can know it."""

LOOK_SECONDS = 1.0
"""How long a change of the file may go unnoticed."""

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
DIGEST = re.compile(r"[0-9a-f]{64}")

logger = logging.getLogger(__name__)


class BadKeys(Exception):
    """The file of keys cannot be read. The message says which line and why, and repeats nothing of it."""


@dataclass(frozen=True)
class Key:
    """One key as it is stored."""

    name: str
    """For logs, metrics and limits; two keys may share it while one replaces the other."""
    digest: str
    """SHA-256 of the key, in hex. A key has 256 random bits, so a slow hash would add nothing."""
    rights: frozenset[Right]

    def __str__(self) -> str:
        return f"{self.name}:{self.digest}:{','.join(sorted(self.rights))}"


def make(name: str, rights: Iterable[Right]) -> tuple[str, Key]:
    """Return a new key for a client, and what to store of it."""
    if not NAME.fullmatch(name):
        raise ValueError("A name has 1 to 64 letters, digits, dots, dashes and underscores.")
    secret = PREFIX + secrets.token_urlsafe(32)
    return secret, Key(name, digest_of(secret), frozenset(rights))


def digest_of(secret: str) -> str:
    """Return the SHA-256 of a key, in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def parse(text: str) -> tuple[Key, ...]:
    """Read lines of name:sha256:right,right; blank lines and those that begin with # are skipped.

    Raises BadKeys for any other line, for a key that is there twice, and if there is no key.
    """
    keys: dict[str, Key] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key = parse_line(line.strip(), number)
        if key.digest in keys:
            raise BadKeys(f"line {number} has the same key as a line before it")
        keys[key.digest] = key
    if not keys:
        raise BadKeys("it has no key; holofoil-gateway key NAME prints a line for it")
    return tuple(keys.values())


def parse_line(line: str, number: int) -> Key:
    """Read one line; raise BadKeys."""
    name, digest, rights = ([part.strip() for part in line.split(":")] + ["", "", ""])[:3]
    if line.count(":") != 2 or not NAME.fullmatch(name) or not DIGEST.fullmatch(digest.lower()):
        raise BadKeys(f"line {number} is not name:sha256:right,right")
    named = {right.strip() for right in rights.split(",")}
    known = frozenset(RIGHTS).intersection(named)
    if len(known) != len(named):
        raise BadKeys(f"line {number} has a right that is none of {', '.join(RIGHTS)}")
    return Key(name, digest.lower(), known)


class Keyring:
    """The keys of a file, read again when it changes."""

    def __init__(self, path: Path) -> None:
        """Read the file; raise BadKeys if that fails, so that a gateway never starts open by mistake."""
        self.path = path
        self.keys, self.seen = read(path)
        self.bad: Look = self.seen  # how the last file looked that could not be read
        self.broken = False
        """Whether the file could not be read when it was last looked at; then the old keys stay."""
        self.looked = time.monotonic()

    def find(self, secret: str) -> Key | None:
        """Return the key that a client presents, or None, in a time that does not tell which."""
        self.refresh()
        digest = digest_of(secret)
        found = None
        for key in self.keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def refresh(self) -> None:
        """Read a changed file; if it cannot be read, keep the old keys and say so once."""
        now = time.monotonic()
        if now - self.looked < LOOK_SECONDS:
            return
        self.looked = now
        seen = look(self.path)
        if seen == self.seen:
            self.broken = False
            return
        try:
            self.keys, self.seen = read(self.path)
        except BadKeys as bad:  # tried again each time: look() sees no change of permissions
            if seen != self.bad:
                logger.error("The file of keys changed and cannot be read, the old keys stay: %s", bad)
            self.bad, self.broken = seen, True
        else:
            self.broken = False
            logger.warning("The file of keys changed, now of: %s", ", ".join(key.name for key in self.keys))


Look = tuple[int, int, int] | None


def look(path: Path) -> Look:
    """Return what tells one state of a file from another, None if there is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def read(path: Path) -> tuple[tuple[Key, ...], Look]:
    """Read the keys of a file, and how it looked before that; raise BadKeys."""
    seen = look(path)
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise BadKeys(error.strerror or "it cannot be read") from None
    except UnicodeDecodeError:
        raise BadKeys("it is not a text in UTF-8") from None
    return parse(text), seen
