"""The channel to TF Serving: made anew if it cannot connect, and left alone while nobody answers."""

import asyncio
import json
import time
from typing import Any, cast

import grpc
import grpc.aio

from serving import tracing, wire
from serving.backend import Unavailable
from serving.breaker import PAUSE, Breaker
from serving.contract import GENERATE
from serving.grpc_errors import AWAY, cannot_be_reached

OPTIONS: list[tuple[str, Any]] = [
    # The default takes answers of up to 4 MiB, and what is larger looks like an overloaded server.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # The default sends every call to one of the addresses that a name has.
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    # A channel made anew must not inherit the waiting time of the one it replaces.
    ("grpc.use_local_subchannel_pool", 1),
    # Notices a server that vanished without a word. Servers take more frequent pings as an attack.
    ("grpc.keepalive_time_ms", 300_000),
]

RECONNECT_AFTER = 1.0
"""Seconds after which a channel that cannot connect is made anew."""

PROBE_SECONDS = 1.0
"""How long a server that was away may take to say that it is back."""


class Channel:
    """Sends messages to a gRPC target, host:port or dns:///host:port."""

    def __init__(self, target: str, grace: float) -> None:
        """Take the seconds that calls have to end on a channel that is replaced."""
        self._target = target
        self._grace = grace
        # Made at the first call: a grpc.aio channel belongs to the event loop it was made on.
        self._channel: grpc.aio.Channel | None = None
        self._opened_at = 0.0
        self._closing: set[asyncio.Task[None]] = set()
        self._breaker = Breaker()

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._channel is not None and self._channel.get_state() == grpc.ChannelConnectivity.READY

    async def send(self, method: str, message: bytes, expires: float) -> bytes:
        """Send one message and return the answer; it expires at a time of the event loop.

        Raises AioRpcError for any status but OK, and Unavailable, without a call, while the server is known
        to be away.
        """
        if not self._breaker.closed:
            await self._probe(expires)
        try:
            answer = await self._send_to_any(method, message, expires)
        except grpc.aio.AioRpcError as error:
            if cannot_be_reached(error):
                self._breaker.failed(asyncio.get_running_loop().time())
            elif error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:  # which tells neither
                self._breaker.succeeded()
            raise
        self._breaker.succeeded()
        return answer

    async def close(self) -> None:
        """Close the connection; calls still under way are cut off."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()
        closing = list(self._closing)
        for task in closing:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=True)

    async def _probe(self, expires: float) -> None:
        """Raise Unavailable while the server is known to be away; now and then one call probes."""
        now = asyncio.get_running_loop().time()
        if not self._breaker.may_probe(now):
            raise Unavailable(AWAY, self._breaker.wait(now))
        question = wire.messages().GetModelStatusRequest()
        question.model_spec.name = GENERATE.model
        limit = min(expires, now + PROBE_SECONDS)
        try:
            await self._send(wire.GET_MODEL_STATUS, question.SerializeToString(), limit)
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                self._breaker.failed(asyncio.get_running_loop().time())
                raise Unavailable(AWAY, PAUSE) from error
        except asyncio.CancelledError:  # the client has left before anything was known
            self._breaker.failed(now)
            raise
        self._breaker.succeeded()

    async def _send_to_any(self, method: str, message: bytes, expires: float) -> bytes:
        """Send one message, and once more if nobody was there: of several servers, one may have gone."""
        try:
            return await self._send(method, message, expires)
        except grpc.aio.AioRpcError as error:
            if not cannot_be_reached(error):
                raise
        return await self._send(method, message, expires)

    async def _send(self, method: str, message: bytes, expires: float) -> bytes:
        """Send one message on a channel that may work."""
        channel, metadata = self._open(), tracing.grpc_metadata()
        timeout = max(0.0, expires - asyncio.get_running_loop().time())
        return cast(bytes, await channel.unary_unary(method)(message, timeout=timeout, metadata=metadata))

    def _open(self) -> grpc.aio.Channel:
        """Return the channel, made anew if it cannot connect.

        gRPC itself would try again, but ever more seldom: every 2 minutes for a name that does not resolve,
        such as that of a container which has not started yet.
        """
        channel = self._channel
        if channel is not None and (
            channel.get_state() != grpc.ChannelConnectivity.TRANSIENT_FAILURE
            or time.monotonic() - self._opened_at < RECONNECT_AFTER
        ):
            return channel
        if channel is not None:
            task = asyncio.create_task(channel.close(self._grace))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        self._channel = grpc.aio.insecure_channel(self._target, options=OPTIONS)
        self._opened_at = time.monotonic()
        return self._channel
