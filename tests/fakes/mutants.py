"""Requests that were whole before something happened to them: bodies, fields and files, by a seed."""

import json
import random
from dataclasses import dataclass, field
from functools import cache

from tests.fakes.corpus import cases
from tests.fakes.pictures import file, noisy, plain, turned

TOKENS = [
    b"",
    b"\0",
    b"\r\n",
    b"--edge",
    b"--edge--",
    b'"',
    b";",
    b"\xff\xd8",
    b"\x89PNG",
    b"NaN",
    b"1e999",
    b"{",
]
VALUES = [
    0,
    -1,
    1,
    16,
    17,
    2**32,
    10**400,
    0.5,
    1e308,
    float("nan"),
    True,
    None,
    "",
    "png",
    "webp",
    "é" * 50,
    [],
    {},
]
FIELDS = [
    "n",
    "seed",
    "label",
    "truncation",
    "output_format",
    "output_compression",
    "noise",
    "compression",
    "x",
]
TYPES = [
    "multipart/form-data; boundary=edge",
    "multipart/form-data; boundary=" + "x" * 80,
    "multipart/form-data",
    "application/json",
    "image/png",
    "image/jpeg",
    "text/plain; charset=utf-16",
    "\x80",
    "",
]
PATHS = [
    "/score",
    "/generate",
    "/morph",
    "/models",
    "/readyz",
    "/nothing",
    "/score/",
    "/%00",
    "/generate?seed=x",
]


@dataclass(frozen=True)
class Mutant:
    """One request."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def mutant(seed: int) -> Mutant:
    """Return the request of a seed."""
    rng = random.Random(seed)
    if rng.random() < 0.1:
        return Mutant(
            rng.choice(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]),
            rng.choice(PATHS),
            rng.randbytes(rng.randrange(200)),
            {
                "content-type": rng.choice(TYPES),
                "accept": rng.choice(["*/*", "image/*;q=x", "\xff", "a/b;q=0"]),
            },
        )
    if rng.random() < 0.35:
        headers = {
            "content-type": "application/json",
            "accept": rng.choice(["*/*", "image/png", "application/json"]),
        }
        return Mutant("POST", "/generate", json_body(rng), headers)
    return Mutant("POST", "/score", multipart(rng), {"content-type": "multipart/form-data; boundary=edge"})


def json_body(rng: random.Random) -> bytes:
    """A JSON body of plausible and absurd fields, sometimes damaged, sometimes endlessly nested."""
    if rng.random() < 0.05:
        return rng.choice([b"[", b'{"n":']) * rng.choice([10, 5000])
    chosen = {name: rng.choice(VALUES) for name in rng.sample(FIELDS, rng.randrange(4))}
    body = json.dumps(chosen).encode(rng.choice(["utf-8", "utf-8", "utf-8", "utf-16"]))
    return damaged(rng, body) if rng.random() < 0.4 else body


def multipart(rng: random.Random) -> bytes:
    """A multipart body of files, any of which may be damaged, as the whole may."""
    body = b""
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3, 17])):
        name = rng.choice(["files"] * 8 + ["file", "", "fi\u00e9les"])
        filename = rng.choice(
            ['; filename="card.png"'] * 6 + ["", '; filename="../../etc"', "; filename*=utf-8''%ff"]
        )
        content = rng.choice(pictures())
        content = damaged(rng, content) if rng.random() < 0.7 else content
        body += (
            f'--edge\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'.encode()
            + content
            + b"\r\n"
        )
    body += b"--edge--\r\n"
    return damaged(rng, body) if rng.random() < 0.2 else body


@cache
def pictures() -> list[bytes]:
    """Files to damage: the corpus as far as it is small, and some that are larger."""
    small = [case.data for case in cases() if len(case.data) < 20_000]
    whole = [file(noisy(60, 40), format) for format in ("PNG", "JPEG", "WEBP")]
    return small + 5 * whole + [file(plain(), "JPEG", progressive=True), turned(6)]


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Flip, cut, repeat, drop and insert."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        start = rng.randrange(len(changed) + 1)
        end = min(len(changed), start + rng.choice([1, 2, 4, 30, 500]))
        match rng.randrange(6):
            case 0:
                changed[start:end] = rng.randbytes(end - start)
            case 1:
                del changed[start:end]
            case 2:
                changed[start:start] = changed[start:end] * rng.choice([1, 2, 20])
            case 3:
                changed[start:start] = rng.choice(TOKENS)
            case 4:
                del changed[start:]
            case _:
                changed[start:end] = rng.choice([b"\0", b"\xff", b"\x7f"]) * (end - start)
    return bytes(changed)
