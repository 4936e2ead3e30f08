"""What a field of a request or an answer may hold: numbers within bounds, and how they may be written."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from serving import noise

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?")


def plain(value: str) -> str:
    """Accept a number that is written as in JSON; int() alone would also take 1_000 and spaces."""
    if not NUMBER.fullmatch(value):
        raise PydanticCustomError("number_parsing", "Write it as a plain number")
    return value


def whole(value: object) -> object:
    """Turn 4.0 into 4: to JSON they are one number, and to JSON Schema both are integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


PLAIN = BeforeValidator(plain)
WHOLE = BeforeValidator(whole)  # follows the bounds, or they would be missing in the schema
Seed = Annotated[int, Field(ge=0, lt=noise.SEEDS), WHOLE]
Truncation = Annotated[
    float,
    Field(
        gt=0,
        le=2,
        allow_inf_nan=False,
        description="Scale of the noise: below 1 more typical cards, above 1 wilder ones.",
    ),
]
Quality = Annotated[int, Field(ge=1, le=100), WHOLE]
NoiseValue = Annotated[float, Field(ge=-noise.MOST, le=noise.MOST, allow_inf_nan=False)]

Classes = Annotated[
    list[str], Field(description="Names of the kinds of card, each a label for /generate; often none.")
]
