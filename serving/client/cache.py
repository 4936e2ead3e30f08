"""A cache of answers by address and ETag, so that what has not changed is not sent again."""

from threading import Lock

from serving.client.message import Reply

MOST = 128
"""Answers kept; the least recently used one goes first."""


class AnswerCache:
    """A least recently used cache; thread-safe."""

    def __init__(self) -> None:
        self.kept: dict[str, Reply] = {}
        self.lock = Lock()

    def recall(self, address: str) -> Reply | None:
        """Return the answer that was kept for an address."""
        with self.lock:
            reply = self.kept.pop(address, None)
            if reply is not None:
                self.kept[address] = reply
            return reply

    def keep(self, address: str, reply: Reply) -> None:
        """Keep an answer if it has an ETag and may be stored."""
        if reply.status != 200 or "etag" not in reply.headers:
            return
        if "no-store" in reply.headers.get("cache-control", ""):
            return
        with self.lock:
            self.kept.pop(address, None)
            self.kept[address] = reply
            if len(self.kept) > MOST:
                self.kept.pop(next(iter(self.kept)))
