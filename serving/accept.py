"""The Accept header: which of several media types a client likes best (RFC 9110, 12.5.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers

from serving.problems import NOT_ACCEPTABLE
from serving.refusals import Refusal

ANY = "*"
MOST = 64  # entries that are read; browsers send ten


@dataclass(frozen=True)
class MediaRange:
    """One entry of an Accept header: image/*;q=0.8."""

    type: str
    subtype: str
    quality: float

    def matches(self, media_type: str) -> bool:
        """Whether this entry speaks of a media type."""
        type, _, subtype = media_type.partition("/")
        return self.type in (ANY, type) and self.subtype in (ANY, subtype)

    @property
    def precision(self) -> int:
        """0 for */*, 1 for image/*, 2 for image/png; the most precise entry decides about a type."""
        return (self.type != ANY) + (self.subtype != ANY)


def ranges(accept: str) -> list[MediaRange]:
    """Read an Accept header; unreadable entries, and those after the first MOST, are skipped."""
    found: list[MediaRange] = []
    for entry in accept.split(",", MOST)[:MOST]:
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        type, _, subtype = name.partition("/")
        if type and subtype:
            found.append(MediaRange(type, subtype, quality(parameters)))
    return found


def quality(parameters: Sequence[str]) -> float:
    """Return the q of an entry, 0 to 1; 1 where it has none that can be read."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                q = float(value)
            except ValueError:
                return 1.0
            return q if 0 <= q <= 1 else 1.0
    return 1.0


def best(accept: str, offers: Sequence[str]) -> str | None:
    """Pick the offer with the highest quality, or None where none is accepted.

    Among equals the one that was named more precisely wins, then the earlier offer.
    """
    entries = ranges(accept) or [MediaRange(ANY, ANY, 1.0)]
    chosen, liking = None, (0.0, 0)
    for offer in offers:
        fitting = [entry for entry in entries if entry.matches(offer)]
        if not fitting:
            continue
        entry = max(fitting, key=lambda entry: entry.precision)
        if entry.quality > 0 and (entry.quality, entry.precision) > liking:
            chosen, liking = offer, (entry.quality, entry.precision)
    return chosen


def choose(headers: Headers, offers: Sequence[str], advice: str = "") -> str:
    """Pick what a request's Accept headers like best; raise Refusal, naming the offers, if none fits."""
    chosen = best(", ".join(headers.getlist("accept")), offers)
    if chosen is None:
        detail = f"This can be answered as {', '.join(offers)}. {advice}".strip()
        raise Refusal(NOT_ACCEPTABLE, detail, headers={"Vary": "Accept"})
    return chosen
