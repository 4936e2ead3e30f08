"""Everything that can go wrong with a request, as exceptions."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from serving import problems
from serving.bodies import Fault, Problem
from serving.client.message import Reply


class HolofoilError(Exception):
    """Anything that ends a request without its answer. The message says what is wrong and what to do."""


class Unreachable(HolofoilError):
    """No whole answer came: nobody listens there, the connection was cut, or the time was over."""


class UnexpectedAnswer(HolofoilError):
    """An answer came that no Holofoil gateway gives: likely from another server, or from a proxy."""


class Refused(HolofoilError):
    """The gateway answered with a problem (RFC 9457)."""

    def __init__(self, problem: Problem, retry_after: float | None = None) -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem
        self.retry_after = retry_after
        """Seconds after which to ask again, if the gateway said so."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Have pickle and copy make it from its problem, not from its message."""
        return type(self), (self.problem, self.retry_after), vars(self)

    @property
    def kind(self) -> str:
        """The last part of the problem's type, such as "validation" or "overloaded"."""
        return self.problem.type.rpartition("/")[2]

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def detail(self) -> str:
        """What is wrong with this request and what to do."""
        return self.problem.detail

    @property
    def request_id(self) -> str:
        """By which the gateway's log knows the request."""
        return self.problem.instance

    @property
    def faults(self) -> Sequence[Fault]:
        """Every broken rule that was found; often none."""
        return self.problem.errors


class BadRequest(Refused):
    """The request breaks a rule; sent again it would break it again."""


class BadImage(BadRequest):
    """Uploads that are no cards; `faults` names each by its place among all that were given."""


class NotAllowed(Refused):
    """The key is missing, wrong, or without the right."""


class RateLimited(Refused):
    """This key or address has asked too often."""


class Busy(Refused):
    """The gateway cannot answer now: too much to do, shutting down, or no models."""


class TooLate(Refused):
    """The models did not answer within the time."""


class Failed(Refused):
    """The gateway or its models failed; its log has the reason under `request_id`."""


KINDS: dict[str, type[Refused]] = {
    problems.UNSUPPORTED_IMAGE.name: BadImage,
    problems.IMAGE_CORRUPT.name: BadImage,
    problems.IMAGE_ANIMATED.name: BadImage,
    problems.IMAGE_DIMENSIONS.name: BadImage,
    problems.UNAUTHENTICATED.name: NotAllowed,
    problems.FORBIDDEN.name: NotAllowed,
    problems.RATE_LIMITED.name: RateLimited,
    problems.DEADLINE_EXCEEDED.name: TooLate,
}
"""Types that say more than the status does."""

STATUSES: dict[int, type[Refused]] = {
    401: NotAllowed,
    403: NotAllowed,
    429: RateLimited,
    503: Busy,
    504: TooLate,
}


def refusal(reply: Reply, retry_after: float | None = None) -> HolofoilError:
    """Return the exception for an answer that is no success.

    A proxy in front of the gateway answers in its own form; its status still says what it means.
    """
    problem = problem_of(reply)
    if problem is None and not 400 <= reply.status < 600:
        return UnexpectedAnswer(f"The address answered {reply.status}. Is this a Holofoil gateway's address?")
    problem = problem or Problem(
        type="about:blank",
        title=f"HTTP {reply.status}",
        status=reply.status,
        detail=f"The address answered {reply.status} without saying why, as a proxy or another server does.",
        instance=reply.headers.get("x-request-id", ""),
        errors=[],
    )
    return kind_of(problem)(problem, retry_after)


def problem_of(reply: Reply) -> Problem | None:
    """Return an answer's problem, None if it has none."""
    if reply.media_type != problems.MEDIA_TYPE:
        return None
    try:
        return Problem.model_validate_json(reply.body)
    except ValidationError:
        return None


def kind_of(problem: Problem) -> type[Refused]:
    """Choose the exception by the problem's type, or by its status if the type is not known here."""
    known = KINDS.get(problem.type.rpartition("/")[2]) or STATUSES.get(problem.status)
    return known or (BadRequest if problem.status < 500 else Failed)
