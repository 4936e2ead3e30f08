"""The query of an address, read strictly: every parameter known, given once, and in UTF-8."""

import re
from collections import Counter
from typing import TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from pydantic import BaseModel, ValidationError

from serving.bodies import Fault
from serving.problems import MALFORMED_QUERY
from serving.refusals import Refusal, from_validation, invalid

# urllib passes such an escape on as it is.
BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")

Query = TypeVar("Query", bound=BaseModel)


def read_query(request: Request, model: type[Query]) -> Query:
    """Read a query as a model; raise Refusal for one that is unreadable, repeats a name or breaks a rule.

    Nothing is ignored: caches know an answer by its whole address, and would keep it twice.
    """
    raw: bytes = request.scope["query_string"]
    try:
        if BROKEN_ESCAPE.search(raw):
            raise ValueError
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise Refusal(
            MALFORMED_QUERY, "The query cannot be read. Write it as name=value&name=value, in UTF-8 by %XX."
        ) from None
    counts = Counter(name for name, _ in pairs)
    repeated = [name for name in model.model_fields if counts[name] > 1]
    if repeated:
        raise invalid(
            *(Fault(pointer=f"/{name}", code="repeated", detail="Give this once.") for name in repeated)
        )
    try:
        return model.model_validate_strings(dict(pairs))
    except ValidationError as error:
        raise from_validation(error) from None


def refuse_query(request: Request, advice: str) -> None:
    """Raise Refusal for a query on a route that reads only the body: a seed in it would be ignored."""
    if request.scope["query_string"]:
        detail = f"This address takes no query parameters. {advice}"
        raise invalid(Fault(pointer="", code="no_query", detail=detail))
