"""The two clients: the same calls over httpx, blocking and async."""

import asyncio
import contextlib
import inspect
import os
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import replace
from functools import wraps
from importlib.metadata import version
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, get_args, get_origin

from serving.client import calls
from serving.client.cache import AnswerCache
from serving.client.deadline import bound_connections, deadline
from serving.client.errors import Unreachable
from serving.client.message import Call, Reply
from serving.client.patience import Attempt, Patience, Pause, Steps, persist

try:
    import httpx
except ModuleNotFoundError:
    raise ImportError("The client needs httpx: pip install 'holofoil[client]'") from None

P = ParamSpec("P")
T = TypeVar("T")

CONCURRENCY = 4
"""Most concurrent requests of an AsyncHolofoil: enough to keep the gateway's batches full."""

LONGEST_WAIT = 30
"""Seconds that a gateway may be asked to wait for its models."""


class Client:
    """What both clients share: where the gateway is, who asks, and for how long.

    timeout: seconds for each request of at most 16 cards or uploads, retries included, at most a day. The
        gateway is told, and waits for 30 s at most.
    retries: how often a request is sent again after 429, 503, 504 or a broken connection.
    key: the API key, if the gateway needs one.
    """

    def __init__(self, url: str, key: str | None, timeout: float, retries: int) -> None:
        self.url = checked_url(url)
        self.patience = Patience(timeout, retries)
        self.cache = AnswerCache()
        self.headers = {"User-Agent": f"holofoil/{version('holofoil')}"}
        if key is not None:
            self.headers["Authorization"] = f"Bearer {checked_key(key)}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def steps(self, call: Call[Any]) -> Steps:
        """Say what to do for one call, step by step; an answer that is still valid is not sent again."""
        address = address_of(call)
        kept = self.cache.recall(address) if call.method == "GET" else None
        reply = yield from persist(unless(call, kept), self.patience)
        if kept is not None and reply.status == 304:
            return kept
        if call.method == "GET":
            self.cache.keep(address, reply)
        return reply

    def unreachable(self, error: Exception, seconds: float) -> Unreachable:
        """Return the error that says why no whole answer came."""
        if isinstance(error, httpx.TimeoutException | TimeoutError):
            return Unreachable(f"{self.url} did not answer within {seconds:.3g} s.")
        if isinstance(error, httpx.ConnectError):
            return Unreachable(f"{self.url} cannot be reached: {error}. Is the gateway running there?")
        return Unreachable(f"{self.url} broke off: {error or type(error).__name__}.")

    def request(self, http: httpx.Client | httpx.AsyncClient, attempt: Attempt) -> httpx.Request:
        """Write an attempt as a request; its files are read here. Raises OSError."""
        call = attempt.call
        prefer = [*call.prefer, f"wait={min(max(1, int(attempt.seconds)), LONGEST_WAIT)}"]
        return http.build_request(
            call.method,
            call.path,
            params=call.query or None,
            json=call.json,
            files=[("files", (upload.name, upload.read())) for upload in call.uploads] or None,
            headers={"Accept": call.accept, "Prefer": ", ".join(prefer), **call.headers},
            timeout=attempt.seconds,
        )


def address_of(call: Call[Any]) -> str:
    """Return a call's path and query; raises ValueError if they are too long for an address."""
    try:
        return str(httpx.URL(call.path, params=call.query))
    except httpx.InvalidURL as error:
        raise ValueError(f"This cannot be asked by an address, as a single card is: {error}.") from None


@contextlib.contextmanager
def environment() -> Generator[None]:
    """Raise ValueError, in plain words, for unusable proxies or certificates in the environment."""
    try:
        yield
    except httpx.InvalidURL:  # whose message may hold a part of a password
        raise ValueError("HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or NO_PROXY holds what is no address.") from None
    except OSError as error:
        file = os.environ.get("SSL_CERT_FILE", "httpx's certificates")
        raise ValueError(f"SSL_CERT_FILE: {file} cannot be read as certificates: {error.strerror}.") from None


def unless(call: Call[T], kept: Reply | None) -> Call[T]:
    """Ask for an answer only if it is no longer the one that was kept."""
    return call if kept is None else replace(call, headers={"If-None-Match": kept.headers["etag"]})


def checked_url(url: str) -> str:
    """Return the URL; raises ValueError for what is none, such as localhost:8000, or may hold a password."""
    if "@" in url:
        raise ValueError("The gateway's address has no user or password before an @: name the key with key=.")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"The gateway's address is no URL: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError("The gateway's address is a URL such as http://127.0.0.1:8000.")
    return url


def checked_key(key: str) -> str:
    """Return the key; raises ValueError, without repeating it, for one that a header cannot hold."""
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("The key has characters that no key has. Is there a line break at its end?")
    return key


def reply_of(answer: httpx.Response) -> Reply:
    """Return what matters of an answer."""
    return Reply(answer.status_code, dict(answer.headers.items()), answer.content)


def described_as(calling: Callable[..., Any]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Give a method the docstring and signature of its call, but with the answer as the return type."""

    def describe(method: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(calling, eval_str=True)
        answer = signature.return_annotation
        while get_origin(answer) is not Call:
            (answer,) = get_args(answer)
        described = wraps(calling)(method)
        vars(described)["__signature__"] = signature.replace(
            parameters=[
                inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY),
                *signature.parameters.values(),
            ],
            return_annotation=get_args(answer)[0],
        )
        return described

    return describe


def one(calling: Callable[P, Call[T]]) -> "Callable[Concatenate[Holofoil, P], T]":
    """Make a method that makes one call."""

    @described_as(calling)
    def method(self: "Holofoil", *args: P.args, **kwargs: P.kwargs) -> T:
        return self.fetch(calling(*args, **kwargs))

    return method


def many(calling: Callable[P, Sequence[Call[list[T]]]]) -> "Callable[Concatenate[Holofoil, P], list[T]]":
    """Make a method that makes several calls, one after another, and puts their answers together."""

    @described_as(calling)
    def method(self: "Holofoil", *args: P.args, **kwargs: P.kwargs) -> list[T]:
        return [item for call in calling(*args, **kwargs) for item in self.fetch(call)]

    return method


class Holofoil(Client):
    """The gateway at a URL, one request at a time; thread-safe. Close it, or use it in `with`."""

    def __init__(self, url: str, key: str | None = None, *, timeout: float = 30.0, retries: int = 4) -> None:
        super().__init__(url, key, timeout, retries)
        with environment():
            self.http = httpx.Client(base_url=url, headers=self.headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def fetch(self, call: Call[T]) -> T:
        """Do one call's steps and read its answer."""
        steps = self.steps(call)
        outcome: Reply | Unreachable | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                return call.read(end.value)
            outcome = time.sleep(step.seconds) if isinstance(step, Pause) else self.send(step)

    def send(self, attempt: Attempt) -> Reply | Unreachable:
        """Send one request and read its whole answer, or say why there is none."""
        try:
            with deadline(attempt.seconds):
                request = self.request(self.http, attempt)
                request.extensions["trace"] = bound_connections
                answer = self.http.send(request)
                return reply_of(answer)
        except (httpx.RequestError, TimeoutError) as error:
            return self.unreachable(error, attempt.seconds)

    generate = many(calls.generate)
    card = one(calls.card)
    sheet = one(calls.sheet)
    morph = one(calls.morph)
    score = many(calls.score)
    score_lenient = many(calls.score_lenient)
    models = one(calls.models)
    ready = one(calls.ready)


def awaited_one(calling: Callable[P, Call[T]]) -> "Callable[Concatenate[AsyncHolofoil, P], Awaitable[T]]":
    """Make a method that makes one call."""

    @described_as(calling)
    async def method(self: "AsyncHolofoil", *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.fetch(calling(*args, **kwargs))

    return method


def awaited_many(
    calling: Callable[P, Sequence[Call[list[T]]]],
) -> "Callable[Concatenate[AsyncHolofoil, P], Awaitable[list[T]]]":
    """Make a method that makes several calls, a few at a time, and puts their answers together."""

    @described_as(calling)
    async def method(self: "AsyncHolofoil", *args: P.args, **kwargs: P.kwargs) -> list[T]:
        parts = await self.fetch_all(calling(*args, **kwargs))
        return [item for part in parts for item in part]

    return method


class AsyncHolofoil(Client):
    """The gateway at a URL, for asyncio, a few requests at a time. Close it, or use it in `async with`."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout: float = 30.0,
        retries: int = 4,
        concurrency: int = CONCURRENCY,
    ) -> None:
        super().__init__(url, key, timeout, retries)
        if not concurrency >= 1:
            raise ValueError(f"The concurrency is a number of 1 or more, not {concurrency}.")
        limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        with environment():
            self.http = httpx.AsyncClient(base_url=url, headers=self.headers, limits=limits)
        self.free = asyncio.Semaphore(concurrency)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self.http.aclose()

    async def fetch_all(self, calls: Sequence[Call[T]]) -> list[T]:
        """Fetch several; the first that fails ends the others."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.fetch(call)) for call in calls]
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [task.result() for task in tasks]

    async def fetch(self, call: Call[T]) -> T:
        """Do one call's steps, when it is its turn, and read its answer."""
        async with self.free:
            steps = self.steps(call)
            outcome: Reply | Unreachable | None = None
            while True:
                try:
                    step = steps.send(outcome)
                except StopIteration as end:
                    return call.read(end.value)
                if isinstance(step, Pause):
                    outcome = await asyncio.sleep(step.seconds)
                else:
                    outcome = await self.send(step)

    async def send(self, attempt: Attempt) -> Reply | Unreachable:
        """Send one request and read its whole answer, or say why there is none."""
        try:
            async with asyncio.timeout(attempt.seconds):
                request = await asyncio.to_thread(self.request, self.http, attempt)
                answer = await self.http.send(request)
                return reply_of(answer)
        except (httpx.RequestError, TimeoutError) as error:
            return self.unreachable(error, attempt.seconds)

    generate = awaited_many(calls.generate)
    card = awaited_one(calls.card)
    sheet = awaited_one(calls.sheet)
    morph = awaited_one(calls.morph)
    score = awaited_many(calls.score)
    score_lenient = awaited_many(calls.score_lenient)
    models = awaited_one(calls.models)
    ready = awaited_one(calls.ready)
