"""One request and its answer as plain data, however they are sent."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, Generic, Literal, TypeVar

from serving.client.upload import Upload

T = TypeVar("T")


@dataclass(frozen=True)
class Reply:
    """A complete answer. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        """The content type in lower case, without its parameters."""
        message = Message()
        message["Content-Type"] = self.headers.get("content-type", "application/octet-stream")
        return message.get_content_type()


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request, and how its answer is read. Every call may be sent twice: none changes the gateway."""

    read: Callable[[Reply], T]
    """Turns the answer into what the caller wants, or raises a HolofoilError."""
    method: Literal["GET", "POST"]
    path: str
    query: Mapping[str, str | int | float] = field(default_factory=dict[str, Any])
    json: Mapping[str, object] | None = None
    uploads: Sequence[Upload] = ()
    accept: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    prefer: Sequence[str] = ()
    """Of RFC 7240, such as handling=lenient."""
    retries: int | None = None
    """How often it is sent again; None: as often as the client is set to."""
