"""Uploaded files, kept in memory and never on disk, each below a limit of its own."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from serving.bodies import Fault
from serving.problems import MALFORMED_BODY, VALIDATION
from serving.refusals import Refusal

MAX_PARTS = 64
"""A body with more parts is not read to its end."""

BROKEN = "The multipart body is broken or cut short. Send it whole, as curl -F and browsers do."


@dataclass
class Upload:
    """One file as it came. Its name is only repeated to the client; a body that is the file has none."""

    filename: str | None
    most: int
    """Bytes that may be kept."""
    data: bytearray = field(default_factory=bytearray)
    size: int = 0

    def add(self, piece: bytes) -> None:
        """Add the next piece; of a file that becomes too large, only the size is kept."""
        self.size += len(piece)
        if self.size <= self.most:
            self.data += piece
        else:
            self.data.clear()

    @property
    def whole(self) -> bool:
        """Whether all of it was kept."""
        return self.size == len(self.data)


@dataclass
class Parts:
    """Collects the parts of a body as a MultipartParser finds them."""

    name: str
    """Of the only field that is read."""
    max_files: int
    max_file: int
    """Bytes kept of each file."""
    files: list[Upload] = field(default_factory=list[Upload])
    faults: list[Fault] = field(default_factory=list[Fault])
    ended: bool = False
    header: bytes = b""
    value: bytes = b""
    disposition: bytes = b""
    current: Upload | None = None
    count: int = 0

    def on_part_begin(self) -> None:
        """Start a part."""
        self.count += 1
        if self.count > MAX_PARTS:
            raise too_many(self.name, self.max_files)
        self.disposition = b""
        self.current = None

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        """Collect a piece of a header's name."""
        self.header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        """Collect a piece of a header's value."""
        self.value += data[start:end]

    def on_header_end(self) -> None:
        """Keep the one header that matters."""
        if self.header.lower() == b"content-disposition":
            self.disposition = self.value
        self.header = self.value = b""

    def on_headers_finished(self) -> None:
        """Decide what the part is."""
        _, options = parse_options_header(self.disposition)
        if options.get(b"name") != self.name.encode():
            self.fault(
                "", "unknown_part", f"Name each file's part {self.name}: with curl, -F {self.name}=@card.png."
            )
        elif b"filename" not in options:
            detail = f"{self.name} came as text. Send a file: with curl, -F {self.name}=@card.png."
            self.fault(f"/{self.name}", "not_a_file", detail)
        else:
            self.current = Upload(options[b"filename"].decode(errors="replace")[:255], self.max_file)
            self.files.append(self.current)

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Keep a piece of a file, up to the limit."""
        if self.current is not None:
            self.current.add(data[start:end])

    def on_end(self) -> None:
        """Note that the final boundary came: without it the last file may lack its end."""
        self.ended = True

    def fault(self, pointer: str, code: str, detail: str) -> None:
        """Note a broken rule."""
        self.faults.append(Fault(pointer=pointer, code=code, detail=detail))


async def read_files(
    content_type: str, body: AsyncIterator[bytes], *, name: str, max_files: int, max_file: int
) -> list[Upload]:
    """Read 1 to max_files files, all of the field `name`; one above max_file bytes is not whole.

    A body that breaks a rule is still read to its end, since a client that is cut off while sending
    may never see why. Raises Refusal for a body that is broken, lacks its final boundary, or breaks a rule.
    """
    _, options = parse_options_header(content_type)
    if not options.get(b"boundary"):
        raise Refusal(MALFORMED_BODY, "The Content-Type names no boundary. Let your HTTP client set it.")
    parts = Parts(name, max_files, max_file)
    try:
        parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": parts.on_part_begin,
                "on_header_field": parts.on_header_field,
                "on_header_value": parts.on_header_value,
                "on_header_end": parts.on_header_end,
                "on_headers_finished": parts.on_headers_finished,
                "on_part_data": parts.on_part_data,
                "on_end": parts.on_end,
            },
        )
        async for chunk in from_first_part(body, options[b"boundary"]):
            parser.write(chunk)
        parser.finalize()
    except FormParserError:
        raise Refusal(MALFORMED_BODY, BROKEN) from None
    if not parts.ended:
        raise Refusal(MALFORMED_BODY, BROKEN)
    check(parts, max_files)
    return parts.files


async def from_first_part(body: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[bytes]:
    """Skip what precedes the first boundary (RFC 2046, 5.1.1), which the parser would call damage."""
    delimiter = b"\r\n--" + boundary
    before: bytes | None = b"\r\n"  # its last bytes, which may be the beginning of the delimiter
    async for chunk in body:
        if before is None:
            yield chunk
            continue
        before += chunk
        found = before.find(delimiter)
        if found < 0:
            before = before[-len(delimiter) :]
            continue
        yield before[found + 2 :]
        before = None


async def read_file(body: AsyncIterator[bytes], max_file: int) -> Upload:
    """Read a body that is the file itself, to its end; one above max_file bytes is not whole."""
    upload = Upload(None, max_file)
    async for chunk in body:
        upload.add(chunk)
    return upload


def check(parts: Parts, max_files: int) -> None:
    """Raise Refusal where the parts break a rule."""
    if len(parts.files) > max_files:
        raise too_many(parts.name, max_files)
    if parts.faults:
        raise Refusal(VALIDATION, parts.faults[0].detail, parts.faults)
    if not parts.files:
        raise Refusal(
            VALIDATION,
            f"The request has no file. Send 1 to {max_files} files in the field {parts.name}.",
        )


def too_many(name: str, most: int) -> Refusal:
    """Refuse more parts than may come at once."""
    detail = f"At most {most} files are read at once. Send the rest in another request."
    return Refusal(VALIDATION, detail, [Fault(pointer=f"/{name}", code="too_many", detail=detail)])
